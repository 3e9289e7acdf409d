/** Waiting for real processes, sockets and disks: for a condition, never for a time. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

type Condition = () => boolean | Promise<boolean>;

/**
 * Long on a machine with nothing else to do: what is asserted is that it comes to pass, not how soon. A start of three nodes has taken half a minute beside other
 * work.
 */
const PATIENCE_MS = 120_000;
const LOOK_MS = 5;
/** A look at processes or through their interfaces costs what is waited for: it has the processor for most of the time. */
const REST_PER_LOOK = 3;
const LONGEST_REST_MS = 100;

/**
 * Settles once the condition holds.
 * @param what the sentence that is to come true, for the failure; left out: the condition's own text
 * @throws AssertionError after `withinMs`
 */
export async function until(what: string, condition: Condition, withinMs?: number): Promise<void>;
export async function until(condition: Condition, withinMs?: number): Promise<void>;
export async function until(
  ...args: [what: string, condition: Condition, withinMs?: number] | [condition: Condition, withinMs?: number]
): Promise<void> {
  const [what, condition, withinMs = PATIENCE_MS] =
    typeof args[0] === 'string'
      ? (args as [string, Condition, number?])
      : [String(args[0]), args[0], args[1] as number];
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const lookMs = performance.now();
    if (await condition()) return;
    const nowMs = performance.now();
    assert.ok(nowMs < deadlineMs, `not within ${withinMs / 1000} s: ${what}`);
    await delay(Math.min(LONGEST_REST_MS, Math.max(LOOK_MS, REST_PER_LOOK * (nowMs - lookMs))));
  }
}
