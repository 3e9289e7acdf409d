/**
 * The replies of one connection between the arrival of a command and the writing of its reply. Commands complete in any
 * order; replies leave in the order of the requests.
 */
import { assert, type Millis } from '../../../platform/index.ts';
import type { CommandCounters, RedisConfig } from '../command/index.ts';
import { EncodedParts, EncodedReply, type Reply, type ReplyWriter } from '../protocol/index.ts';

const INITIAL_SLOTS = 16;
/** Stands in a slot whose command is under way. */
const PENDING = Symbol('pending');
/** Protocol version of a slot whose reply is not written. */
const SILENT = 0;

/** What a connection may have under way, see `RedisConfig`. */
export type RingLimits = Pick<RedisConfig, 'maxPipelinedCommands' | 'maxPipelinedBytes' | 'maxUnreadReplyBytes'>;

export class ReplyRing {
  /** Slot `n` is at `n & (slots.length - 1)`. */
  private slots: (Reply | typeof PENDING)[] = new Array<typeof PENDING>(INITIAL_SLOTS).fill(PENDING);
  /** 2 or 3, or `SILENT`. */
  private versions = new Uint8Array(INITIAL_SLOTS);
  /** Where a slot is booked when it is written; undefined nowhere. */
  private counters: (CommandCounters | undefined)[] = new Array<undefined>(INITIAL_SLOTS).fill(undefined);
  /** When the command of a slot was read, monotonic. */
  private startedMs = new Float64Array(INITIAL_SLOTS);
  /** Bytes of the arguments of a slot's command, while it is under way. */
  private requestBytes = new Float64Array(INITIAL_SLOTS);
  /** Their sum. */
  underWayBytes = 0;
  /** The oldest slot not written, and the next to be given out. */
  private head = 0;
  private tail = 0;
  private settledCount = 0;
  /** Bytes of bulk strings that are settled and not written, for back-pressure. */
  private settledBytes = 0;

  /** Slots given out whose reply was not written. */
  get length(): number {
    return this.tail - this.head;
  }

  /** The oldest slot that was not written. */
  get oldest(): number {
    return this.head;
  }

  /** The slot that was given out last. */
  get newest(): number {
    return this.tail - 1;
  }

  /** Another command may be started. @param unreadBytes that were written and the client has not taken */
  hasRoom(limits: RingLimits, unreadBytes: number): boolean {
    return (
      this.length < limits.maxPipelinedCommands &&
      this.underWayBytes < limits.maxPipelinedBytes &&
      unreadBytes + this.settledBytes < limits.maxUnreadReplyBytes
    );
  }

  /** Commands that are under way. */
  get unsettled(): number {
    return this.tail - this.settledCount;
  }

  /** True when `writeTo` has something to do. */
  get hasWritable(): boolean {
    return this.head < this.tail && this.slots[this.head & (this.slots.length - 1)] !== PENDING;
  }

  /**
   * Gives out the next slot.
   * @param counters of the command, which is booked with its reply; undefined: of none
   * @param startedMs when it was read, monotonic
   * @param requestBytes of the command's arguments
   */
  reserve(resp: 2 | 3, silent: boolean, counters?: CommandCounters, startedMs: Millis = 0, requestBytes = 0): number {
    if (this.tail - this.head === this.slots.length) this.grow();
    const slot = this.tail++;
    const index = slot & (this.slots.length - 1);
    this.slots[index] = PENDING;
    this.versions[index] = silent ? SILENT : resp;
    this.counters[index] = counters;
    this.startedMs[index] = startedMs;
    this.requestBytes[index] = requestBytes;
    this.underWayBytes += requestBytes;
    return slot;
  }

  /** Changes how a slot will be written, before it is settled. */
  setVersion(slot: number, resp: 2 | 3, silent: boolean): void {
    this.versions[slot & (this.slots.length - 1)] = silent ? SILENT : resp;
  }

  /** The reply of a slot is an error. */
  noteError(slot: number): void {
    const counters = this.counters[slot & (this.slots.length - 1)];
    if (counters !== undefined) counters.errors++;
  }

  /** Fills a slot, once. @returns true when it was the oldest, so that there is something to write now */
  settle(slot: number, reply: Reply): boolean {
    const index = slot & (this.slots.length - 1);
    assert(slot >= this.head && slot < this.tail && this.slots[index] === PENDING, 'a reply slot is settled once');
    this.slots[index] = reply;
    this.settledCount++;
    this.underWayBytes -= this.requestBytes[index]!;
    this.settledBytes += weightOf(reply);
    return slot === this.head;
  }

  /**
   * Writes the replies that are ready, in order, up to the first one that is not.
   * @param nowMs monotonic
   * @param last slot of the last one to write, of all that are ready when it is left out
   */
  writeTo(writer: ReplyWriter, nowMs: Millis, last = this.tail - 1): void {
    const mask = this.slots.length - 1;
    while (this.head <= last) {
      const index = this.head & mask;
      const reply = this.slots[index];
      if (reply === PENDING) return;
      const version = this.versions[index]!;
      if (version !== SILENT) writer.write(reply as Reply, version === 3 ? 3 : 2);
      this.counters[index]?.observe(nowMs - this.startedMs[index]!);
      this.slots[index] = PENDING;
      this.settledBytes -= weightOf(reply as Reply);
      this.head++;
    }
  }

  private grow(): void {
    const oldMask = this.slots.length - 1;
    const size = this.slots.length * 2;
    const slots = new Array<Reply | typeof PENDING>(size).fill(PENDING);
    const versions = new Uint8Array(size);
    const counters = new Array<CommandCounters | undefined>(size).fill(undefined);
    const startedMs = new Float64Array(size);
    const requestBytes = new Float64Array(size);
    for (let slot = this.head; slot < this.tail; slot++) {
      slots[slot & (size - 1)] = this.slots[slot & oldMask] ?? null;
      versions[slot & (size - 1)] = this.versions[slot & oldMask]!;
      counters[slot & (size - 1)] = this.counters[slot & oldMask];
      startedMs[slot & (size - 1)] = this.startedMs[slot & oldMask]!;
      requestBytes[slot & (size - 1)] = this.requestBytes[slot & oldMask]!;
    }
    this.slots = slots;
    this.versions = versions;
    this.counters = counters;
    this.startedMs = startedMs;
    this.requestBytes = requestBytes;
  }
}

/** Bytes of the replies that can be large; the others are not worth counting. */
function weightOf(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length;
  if (reply instanceof EncodedParts) return reply.parts.reduce((sum, part) => sum + part.length, 0);
  return reply instanceof EncodedReply ? reply.bytes.length : 0;
}
