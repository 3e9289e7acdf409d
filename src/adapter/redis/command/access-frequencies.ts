/**
 * How often keys are accessed, as Redis counts it under an LFU policy: a counter of eight bits that grows with the logarithm of the accesses and falls
 * by one a minute. Keys share counters by their hashes, so the memory is fixed, and a node counts what it evaluates itself.
 */
import type { Millis, Random } from '../../../platform/index.ts';

const COUNTERS = 1 << 16;
/** What the first access is worth, so that a new key is not the coldest of all. */
const FIRST = 5;
const MOST = 255;
/** The higher a counter is, the fewer accesses raise it (lfu-log-factor). */
const LOG_FACTOR = 10;
const DECAY_MS: Millis = 60_000;

export class AccessFrequencies {
  private readonly random: Random;
  private readonly counters = new Uint8Array(COUNTERS);
  /** Minute of the last access, modulo 65,536. */
  private readonly minutes = new Uint16Array(COUNTERS);

  constructor(random: Random) {
    this.random = random;
  }

  /** Counts an access. @param nowMs unix time */
  touch(storageKey: Buffer, nowMs: Millis): void {
    const slot = slotOf(storageKey);
    const counter = this.decayed(slot, nowMs);
    this.minutes[slot] = minuteOf(nowMs);
    if (counter === 0) this.counters[slot] = FIRST;
    else if (counter === MOST) this.counters[slot] = MOST;
    else {
      const chance = 1 / (Math.max(0, counter - FIRST) * LOG_FACTOR + 1);
      this.counters[slot] = counter + (this.random.next() < chance ? 1 : 0);
    }
  }

  /** From 0 to 255. */
  of(storageKey: Buffer, nowMs: Millis): number {
    return this.decayed(slotOf(storageKey), nowMs);
  }

  private decayed(slot: number, nowMs: Millis): number {
    const passed = (minuteOf(nowMs) - this.minutes[slot]!) & 0xffff;
    return Math.max(0, this.counters[slot]! - passed);
  }
}

const minuteOf = (nowMs: Millis): number => Math.floor(nowMs / DECAY_MS) & 0xffff;

/** FNV-1a, folded to sixteen bits. */
function slotOf(key: Buffer): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key[at]!, 0x01000193);
  return ((hash >>> 16) ^ hash) & (COUNTERS - 1);
}
