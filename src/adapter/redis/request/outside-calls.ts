/**
 * What a request that runs alone may know beside the keys: answers of commands that look at the whole cluster or at the node, and which keys it has
 * written itself. An evaluation stops at an answer that is not there; it is brought, and the evaluation begins again.
 */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { type OutsideAnswers, type OutsideCall, RunAloneError, type WrittenKey } from '../command/index.ts';
import { decodeStorageKey } from '../keys/index.ts';
import { RedisError, type Reply, wordOf } from '../protocol/index.ts';

/** How often one request may be evaluated for want of an answer, how many answers it may have, and how many elements they have together. */
const MAX_ROUNDS = 100;
const MAX_ANSWERS = 10_000;
const MAX_ELEMENTS = 1_000_000;
/** With the answer to a SCAN those to its next calls come, up to so many keys and calls: a script walks to the end. */
const SCAN_AHEAD = { keys: 10_000, calls: 200 } as const;

/** Runs a command as if the client had sent it. @throws RedisError with the command's error */
export type AskOutside = (call: OutsideCall) => Promise<Reply>;

interface TouchedKey {
  readonly storageKey: Buffer;
  readonly existed: boolean;
}

/** A view that knows which heads were written. */
class WrittenHeads implements KeyView {
  readonly prefetch: KeyView['prefetch'];
  readonly deletedAt: KeyView['deletedAt'];
  readonly touched = new Map<string, TouchedKey>();
  private readonly view: KeyView;

  constructor(view: KeyView) {
    this.view = view;
    this.prefetch = view.prefetch?.bind(view);
    this.deletedAt = view.deletedAt?.bind(view);
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get(key: Buffer): LiveValue | undefined {
    return this.view.get(key);
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.note(key);
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.note(key);
    this.view.delete(key);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.view.deleteRange(start, end);
  }

  private note(key: Buffer): void {
    const name = key.toString('latin1');
    if (this.touched.has(name) || decodeStorageKey(key) === undefined) return;
    this.touched.set(name, { storageKey: key, existed: this.view.get(key) !== undefined });
  }
}

/** See the top of the file. One for a request. */
export class OutsideCalls implements OutsideAnswers {
  private readonly answers = new Map<string, (Reply | RedisError)[]>();
  /** How many of a call's answers this evaluation has had. */
  private readonly used = new Map<string, number>();
  private view: WrittenHeads | undefined;
  private wanted: OutsideCall | undefined;
  private rounds = 0;
  private count = 0;
  private elements = 0;

  /** An evaluation begins. @returns the view to evaluate over */
  begin(view: KeyView): KeyView {
    this.used.clear();
    this.wanted = undefined;
    this.view = new WrittenHeads(view);
    return this.view;
  }

  answerTo(call: OutsideCall): Reply {
    const name = nameOf(call);
    const nth = this.used.get(name) ?? 0;
    const answer = this.answers.get(name)?.[nth];
    if (answer === undefined) {
      this.wanted = { db: call.db, args: call.args.map((arg) => Buffer.from(arg)) };
      throw new RunAloneError();
    }
    this.used.set(name, nth + 1);
    if (answer instanceof RedisError) throw answer;
    return answer;
  }

  written(db: number): readonly WrittenKey[] {
    const keys: WrittenKey[] = [];
    for (const { storageKey, existed } of this.view?.touched.values() ?? []) {
      const decoded = decodeStorageKey(storageKey)!;
      if (decoded.db !== db) continue;
      keys.push({ userKey: decoded.userKey, existed, exists: this.view!.get(storageKey) !== undefined });
    }
    return keys;
  }

  /** Brings what the last evaluation has stopped at. @throws RedisError when that was too much */
  async bring(ask: AskOutside): Promise<void> {
    if (++this.rounds > MAX_ROUNDS) throw tooMuch();
    let call = this.wanted;
    this.wanted = undefined;
    let keys = 0;
    for (let calls = 0; call !== undefined && calls < SCAN_AHEAD.calls && keys < SCAN_AHEAD.keys; calls++) {
      const answer = await ask(call).catch((error: unknown) => {
        if (error instanceof RedisError) return error;
        throw error;
      });
      this.add(call, answer);
      keys += elementsOf(answer);
      call = nextScan(call, answer);
    }
  }

  private add(call: OutsideCall, answer: Reply | RedisError): void {
    this.count++;
    this.elements += elementsOf(answer);
    if (this.count > MAX_ANSWERS || this.elements > MAX_ELEMENTS) throw tooMuch();
    const name = nameOf(call);
    const known = this.answers.get(name);
    if (known === undefined) this.answers.set(name, [answer]);
    else known.push(answer);
  }
}

const tooMuch = (): RedisError =>
  new RedisError(
    `ERR the script asks more than ${MAX_ROUNDS} times about all keys, or for more than ${MAX_ELEMENTS} of them; nothing of it was done`,
  );

const nameOf = ({ db, args }: OutsideCall): string => {
  const [command, ...rest] = args.map((arg) => arg.toString('latin1'));
  return JSON.stringify([db, command!.toLowerCase(), ...rest]);
};

function elementsOf(answer: Reply | RedisError): number {
  if (!Array.isArray(answer)) return 0;
  return (answer as readonly Reply[]).reduce((sum: number, one) => sum + 1 + elementsOf(one), 0);
}

/** The call that goes on where a SCAN has ended; undefined when it is no SCAN, or at its end. */
function nextScan({ db, args }: OutsideCall, answer: Reply | RedisError): OutsideCall | undefined {
  if (wordOf(args[0]!) !== 'scan' || !Array.isArray(answer)) return undefined;
  const cursor = String((answer as readonly Reply[])[0]);
  if (cursor === '0') return undefined;
  return { db, args: [args[0]!, Buffer.from(cursor), ...args.slice(2)] };
}
