/** Commands whose values are built aside: what the room `aside` needs of the groups. */
import { GroupRouter, isHeldBack } from '../../../kv/index.ts';
import { type Clock, type Millis, type Random, type Scheduler, sleep } from '../../../platform/index.ts';
import { type AsideCommand, type AsideEvaluator, type AsideParts, buildAside, type FreshRow } from '../aside/index.ts';
import { isLibrariesLent, isRunAlone, type LibraryLender } from '../command/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import type { CrossGroupRunner, KeyTurns } from '../state/index.ts';
import { runAcross } from './cross-group.ts';
import { CommandRequest, type GroupRequest, RowsRequest } from './group-request.ts';
import { type AskOutside, OutsideCalls } from './outside-calls.ts';
import { runSingle, type SingleRequestEnvironment } from './single-request.ts';
import { MOST_TOGETHER, NotTogetherError, runTogether, type TogetherItem } from './together.ts';

/** Longest wait for a group that holds writes back. */
const MAX_HELD_PAUSE_MS: Millis = 250;

export interface AsideEnvironment extends SingleRequestEnvironment {
  readonly transactions: AsideParts['transactions'] | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly commandTimeoutMs: Millis;
  /** Computes values in another thread; undefined: there is none. */
  readonly asideEvaluator: AsideEvaluator | undefined;
  /** Of the node's transactions that share keys. */
  readonly turns: KeyTurns;
  /** Calls back copies of libraries of functions. */
  readonly lending: LibraryLender | undefined;
}

/**
 * Runs a request of several groups, one that needs what no group has, or one that has to be built aside. Nothing else of its connection may be under way.
 * @param ask brings answers of commands that look at the whole cluster
 */
export async function runAlone(environment: AsideEnvironment, request: GroupRequest, ask: AskOutside): Promise<Reply> {
  try {
    const { transactions } = environment;
    if (!request.isAside) {
      if (transactions === undefined) throw new RedisError('ERR the command needs transactions across groups');
      return await runWithAnswers(environment, transactions, request, ask);
    }
  } catch (error) {
    if (!(request instanceof CommandRequest && request.needsAside(error))) throw error;
  }
  return runAside(environment, request as CommandRequest);
}

/** Runs a request as a transaction, as often as it asks for another answer. */
async function runWithAnswers(
  environment: AsideEnvironment,
  transactions: CrossGroupRunner,
  request: GroupRequest,
  ask: AskOutside,
): Promise<Reply> {
  const { clock, commandTimeoutMs, lending, turns } = environment;
  const calls = new OutsideCalls();
  if (request.needsOutside) request.askOutside(calls);
  else if (request.isWrite && request instanceof CommandRequest) {
    try {
      return await inTurn(environment, transactions, request);
    } catch (error) {
      if (!(error instanceof NotTogetherError)) throw error;
    }
  }
  for (;;) {
    try {
      if (!request.isWrite) return await runAcross(transactions, request, commandTimeoutMs);
      return await turns.take(request.storageKeys(), () => {
        // Its time begins with its turn.
        if (request.deadlineMs === 0) request.startedMs = clock.monotonicMs();
        return runAcross(transactions, request, commandTimeoutMs);
      });
    } catch (error) {
      if (isLibrariesLent(error) && clock.monotonicMs() < request.deadlineMs) await lending!.recall();
      else if (isRunAlone(error)) {
        request.askOutside(calls);
        await calls.bring(ask);
      } else throw error;
    }
  }
}

/** Runs a request behind those that share a key with it, with others that wait for the same. @throws NotTogetherError when it has to run by itself */
function inTurn(
  environment: AsideEnvironment,
  transactions: CrossGroupRunner,
  request: CommandRequest,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const item: TogetherItem = {
      request,
      settle: (outcome) => ('reply' in outcome ? resolve(outcome.reply) : reject(outcome.error)),
    };
    void environment.turns.join<TogetherItem>(request.storageKeys(), item, MOST_TOGETHER, (items) =>
      runTogether(environment, transactions, items),
    );
  });
}

/** Runs a command that has turned out to write too many rows for one entry. */
async function runAside(environment: AsideEnvironment, request: CommandRequest): Promise<Reply> {
  const { transactions, clock, scheduler, commandTimeoutMs, asideEvaluator } = environment;
  if (transactions === undefined) throw new RedisError('ERR the command writes too many rows');
  const command: AsideCommand = {
    heads: request.storageKeys(),
    evaluate: (view, copyRows) => request.runAside(view, copyRows),
    begin: (ts) => asideEvaluator?.beginAside(request, ts),
  };
  const router = new GroupRouter(environment);
  const writeRows = (rows: readonly FreshRow[]) => write(environment, router, rows);
  const reply = await buildAside(
    { transactions, clock, scheduler, stepTimeoutMs: commandTimeoutMs, writeRows },
    command,
  );
  request.emitEffects();
  return reply;
}

/** Writes a slice to the group that has it now. What holds writes back passes, and is waited for. */
async function write(environment: AsideEnvironment, router: GroupRouter, rows: readonly FreshRow[]): Promise<void> {
  const { clock, scheduler, commandTimeoutMs } = environment;
  const deadlineMs = router.deadline(commandTimeoutMs);
  for (;;) {
    try {
      await router.at([rows[0]!.key], { deadlineMs, isRead: true }, (group) =>
        runSingle(environment, group, (options) => new RowsRequest(rows, options), deadlineMs),
      );
      return;
    } catch (error) {
      if (!isHeldBack(error) || clock.monotonicMs() >= deadlineMs) throw error;
      await sleep(scheduler, Math.min(MAX_HELD_PAUSE_MS, error.retryAfterMs));
    }
  }
}
