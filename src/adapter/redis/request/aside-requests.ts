/** Commands whose values are built aside: what the room `aside` needs of the groups. */
import { GroupRouter, isHeldBack } from '../../../kv/index.ts';
import { type Clock, type GroupId, type Millis, type Random, type Scheduler, sleep } from '../../../platform/index.ts';
import { type AsideCommand, type AsideEvaluator, buildAside, type FreshRow } from '../aside/index.ts';
import { isLibrariesLent, isRunAlone, type LibraryLender } from '../command/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import type { CrossGroupRunner, KeyTurns } from '../state/index.ts';
import { type AcrossPlaceEnvironment, kinOf, runForOther, runWhereLed } from './across-place.ts';
import { runAcross } from './cross-group.ts';
import { CommandRequest, type GroupRequest, RowsRequest } from './group-request.ts';
import { type AskOutside, OutsideCalls } from './outside-calls.ts';
import { runSingle, type SingleRequestEnvironment } from './single-request.ts';
import { MOST_OF_KIN, MOST_TOGETHER, type Outcome, runTogether, type TogetherItem } from './together.ts';
import { fillsAside } from './written-whole.ts';

/** Longest wait for a group that holds writes back. */
const MAX_HELD_PAUSE_MS: Millis = 250;

export interface AsideEnvironment extends SingleRequestEnvironment, AcrossPlaceEnvironment {
  readonly transactions: CrossGroupRunner | undefined;
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
 * Runs a request of several groups, one that needs what no group has, or one that has to be built aside. Nothing else of its connection may be under way but
 * requests for which `keepsOrder` holds, when it holds for this one too.
 * @param ask brings answers of commands that look at the whole cluster
 * @param source whose requests run in order
 */
export async function runAlone(
  environment: AsideEnvironment,
  request: GroupRequest,
  ask: AskOutside,
  source: object,
): Promise<Reply> {
  if (!request.journey.isAside && environment.transactions === undefined)
    throw new RedisError('ERR the command needs transactions across groups');
  if (!mayJoin(request)) return byItself(environment, request, ask, false);
  const keys = request.storageKeys();
  return new Promise((resolve, reject) => {
    const item: TogetherItem = {
      request,
      source,
      keys,
      kin: kinOf(environment, request, keys),
      byItself: () => byItself(environment, request, ask, true),
      settle: (outcome) => ('reply' in outcome ? resolve(outcome.reply) : reject(outcome.error)),
    };
    inTurn(environment, item);
  });
}

/** Runs requests of another node, which have their turns here. See `runForOther`. */
export function runAcrossForOther(
  environment: AsideEnvironment,
  group: GroupId,
  requests: readonly GroupRequest[],
): Promise<Outcome[]> {
  const { kv, clock, commandTimeoutMs } = environment;
  const turns = (item: TogetherItem): void => inTurn(environment, item);
  return runForOther({ kv, clock, commandTimeoutMs, inTurn: turns }, group, requests);
}

/** Gives a request its turn, with others that wait for the same. */
function inTurn(environment: AsideEnvironment, item: TogetherItem): void {
  const { source, keys, kin } = item;
  const run = async (items: readonly TogetherItem[]): Promise<void> => {
    const left = await runWhereLed(environment, items);
    await runTogether(environment, environment.transactions!, left);
  };
  const options = { most: kin === undefined ? MOST_TOGETHER : MOST_OF_KIN, source, kin };
  void environment.turns.join<TogetherItem>(keys, item, run, options);
}

/** A request that runs behind those that share a key with it, with others that wait for the same. */
const mayJoin = (request: GroupRequest): request is CommandRequest =>
  request instanceof CommandRequest && request.isWrite && !request.runsAlone;

/** True for a request that `runAlone` runs behind those that the same source has asked it for before. */
export const keepsOrder = ({ turns }: Pick<AsideEnvironment, 'turns'>, request: GroupRequest): boolean =>
  mayJoin(request) && turns.covers(request.storageKeys());

/** Runs a request as a transaction of its own, aside when it turns out that it has to be. @param hasTurn nothing that shares a key runs beside it */
async function byItself(
  environment: AsideEnvironment,
  request: GroupRequest,
  ask: AskOutside,
  hasTurn: boolean,
): Promise<Reply> {
  try {
    if (!request.journey.isAside) return await runWithAnswers(environment, request, ask, hasTurn);
  } catch (error) {
    if (!(request instanceof CommandRequest && request.needsAside(error))) throw error;
  }
  return runAside(environment, request as CommandRequest);
}

/** Runs a request as a transaction, as often as it asks for another answer. */
async function runWithAnswers(
  environment: AsideEnvironment,
  request: GroupRequest,
  ask: AskOutside,
  hasTurn: boolean,
): Promise<Reply> {
  const { clock, commandTimeoutMs, lending, turns } = environment;
  const calls = new OutsideCalls();
  if (request.journey.needsOutside) request.askOutside(calls);
  const run = () => runAcross(environment.transactions!, request, commandTimeoutMs);
  for (;;) {
    try {
      if (hasTurn || !request.isWrite) return await run();
      return await turns.take(request.storageKeys(), () => {
        // Its time begins with its turn.
        if (request.journey.deadlineMs === 0) request.startedMs = clock.monotonicMs();
        return run();
      });
    } catch (error) {
      if (isLibrariesLent(error) && clock.monotonicMs() < request.journey.deadlineMs) await lending!.recall();
      else if (isRunAlone(error)) {
        request.askOutside(calls);
        await calls.bring(ask);
      } else throw error;
    }
  }
}

/** Runs a command that has turned out to write too many rows for one entry. */
async function runAside(environment: AsideEnvironment, request: CommandRequest): Promise<Reply> {
  const { transactions, clock, scheduler, commandTimeoutMs, asideEvaluator } = environment;
  if (transactions === undefined) throw new RedisError('ERR the command writes too many rows');
  const command: AsideCommand = {
    heads: request.storageKeys(),
    evaluate: (view, copyRows) => request.runAside(view, copyRows),
    ...(asideEvaluator === undefined ? {} : { begin: (ts) => asideEvaluator.beginAside(request, ts) }),
    isFill: fillsAside(request) === 'unlessLarge',
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
