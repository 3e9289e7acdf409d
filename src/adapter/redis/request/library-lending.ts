/**
 * Lends this node a copy of the libraries of functions. A copy is good for `LENT_MS` from when it was asked for, by this node's own clock and with the time
 * that its machine slept; it is renewed while there are calls. Whoever wants to change the libraries says so in the row beside them, waits until every copy
 * must have ended, and says that too. The command that changes them is refused before that, so it does not matter who says what late.
 */
import { createHash } from 'node:crypto';
import { GroupRouter, type KvService } from '../../../kv/index.ts';
import {
  type Clock,
  type Elapsed,
  ElapsedClock,
  type Millis,
  type Random,
  type Scheduler,
  sleep,
} from '../../../platform/index.ts';
import { type CommandTable, type EvaluationSettings, LendingState, type LibraryLender } from '../command/index.ts';
import { COPIES_KEY, FUNCTION_DB, KEYSPACES, LIBRARIES_KEY } from '../keys/index.ts';
import { bulkIn, EncodedReply } from '../protocol/index.ts';
import { CommandRequest, type RequestOptions } from './group-request.ts';
import { runSingle } from './single-request.ts';

/** Life of a copy: a change waits for so long where functions are in use. */
const LENT_MS: Millis = 1_000;
/** Beyond it, for clocks that do not run alike. */
const MARGIN_MS: Millis = 100;
/** After a refusal, before the next question. */
const REFUSED_MS: Millis = 50;
/** Whoever has called copies back and has not changed anything for so long is gone. */
const ABANDONED_MS: Millis = 10_000;

const LINE_FEED = 0x0a;

/** Answers the state; behind it, after a line feed, the libraries, unless their SHA-1 is the one that was given. */
const BORROW = `
local state = redis.call('GET', KEYS[1])
if not state then
  state = '${LendingState.Lent}'
  redis.call('SET', KEYS[1], state)
end
if state ~= '${LendingState.Lent}' then return state end
local row = redis.call('GET', KEYS[2]) or ''
return redis.sha1hex(row) == ARGV[1] and state or state .. '\\n' .. row`;
const RECALL = `
local state = redis.call('GET', KEYS[1]) or ''
if state == '${LendingState.Lent}' then
  state = '${LendingState.Recalling}' .. ARGV[1]
  redis.call('SET', KEYS[1], state)
end
return state`;
const REPLACE_STATE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return ''`;

export interface LendingEnvironment {
  readonly kv: KvService;
  /** The machine's own: see `ElapsedClock`. */
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly settings: EvaluationSettings;
  readonly commandTimeoutMs: Millis;
  readonly table: Pick<CommandTable, 'resolve'>;
}

interface Copy {
  readonly row: Buffer;
  readonly sha: string;
  /** Elapsed time. */
  readonly untilMs: Millis;
}

/** One for a node. */
export class LibraryLending implements LibraryLender {
  private readonly environment: LendingEnvironment;
  private readonly router: GroupRouter;
  /** Copies are good by it. */
  private readonly elapsed: Elapsed;
  private copy: Copy | undefined;
  private asking = false;
  private refusedUntilMs: Millis = 0;
  /** The state that has refused a copy last, and since when it is that, monotonic. */
  private refusal: { readonly state: string; readonly sinceMs: Millis } | undefined;

  constructor(environment: LendingEnvironment) {
    this.environment = environment;
    this.router = new GroupRouter(environment);
    this.elapsed = new ElapsedClock(environment.clock);
  }

  row(): Buffer | undefined {
    const leftMs = (this.copy?.untilMs ?? 0) - this.elapsed.elapsedMs();
    if (leftMs <= 0) return undefined;
    if (leftMs < LENT_MS / 2) this.ask();
    return this.copy!.row;
  }

  ask(): 'coming' | 'refused' {
    if (this.environment.clock.monotonicMs() < this.refusedUntilMs) return 'refused';
    if (!this.asking) {
      this.asking = true;
      const done = (): void => {
        this.asking = false;
      };
      // Who has no answer asks again with the next call.
      this.borrow().then(done, done);
    }
    return 'coming';
  }

  async recall(): Promise<void> {
    const state = (await this.run(RECALL, this.environment.random.bytes(8).toString('hex'))).toString();
    if (!state.startsWith(LendingState.Recalling)) return;
    await sleep(this.environment.scheduler, LENT_MS + MARGIN_MS);
    const id = state.slice(LendingState.Recalling.length);
    await this.run(REPLACE_STATE, state, LendingState.Recalled + id);
  }

  private async borrow(): Promise<void> {
    const askedMs = this.elapsed.elapsedMs();
    const answer = await this.run(BORROW, this.copy?.sha ?? '');
    const end = answer.indexOf(LINE_FEED);
    const state = answer.toString('latin1', 0, end < 0 ? answer.length : end);
    if (state !== LendingState.Lent) {
      await this.refused(state);
      return;
    }
    this.refusal = undefined;
    const row = end < 0 ? this.copy!.row : Buffer.from(answer.subarray(end + 1));
    const sha = end < 0 ? this.copy!.sha : createHash('sha1').update(row).digest('hex');
    this.copy = { row, sha, untilMs: askedMs + LENT_MS };
  }

  private async refused(state: string): Promise<void> {
    const nowMs = this.environment.clock.monotonicMs();
    this.refusedUntilMs = nowMs + REFUSED_MS;
    if (this.refusal?.state !== state) this.refusal = { state, sinceMs: nowMs };
    if (nowMs - this.refusal.sinceMs < ABANDONED_MS) return;
    this.refusal = undefined;
    await this.run(REPLACE_STATE, state, LendingState.Lent);
  }

  /** Runs a script where the libraries are. It may be run twice. */
  private async run(script: string, ...parameters: readonly string[]): Promise<Buffer> {
    const { environment, router } = this;
    const args = [
      ...['EVAL', script, '2'].map((word) => Buffer.from(word)),
      ...[COPIES_KEY, LIBRARIES_KEY],
      ...parameters.map((word) => Buffer.from(word)),
    ];
    const { spec } = environment.table.resolve(args)!;
    const keys = [COPIES_KEY, LIBRARIES_KEY].map((key) => KEYSPACES[FUNCTION_DB]!.storageKey(key));
    const deadlineMs = router.deadline(environment.commandTimeoutMs);
    const make = (options: RequestOptions) => new CommandRequest({ ...options, spec, args, db: FUNCTION_DB });
    const reply = await router.at(keys, { deadlineMs, isRead: true }, (group) =>
      runSingle(environment, group, make, deadlineMs),
    );
    return bulkIn(new EncodedReply(reply)) ?? Buffer.alloc(0);
  }
}
