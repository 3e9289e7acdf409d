/**
 * Where scripts run whose keys are in several groups. Scripts of one queue come from clients of all nodes and write the same keys; coordinators on
 * several nodes would lose against each other most of the time. So they run where the group of their first key is led, in turns with those of all other
 * nodes. Whoever was asked may say that a script is to be run by the node of its client; nothing of it has happened then, nor of what was asked behind it.
 */
import { forwarded, type KvService, RangeBusyError } from '../../../kv/index.ts';
import { type Clock, type GroupId, isOutcomeUnknown, type Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { EncodedReply, type Reply } from '../protocol/index.ts';
import { decodeAnswers, encodeAcross, FORWARD_SERVICE, isReturnable } from './forwarded-command.ts';
import { CommandRequest, type GroupRequest } from './group-request.ts';
import type { Outcome, TogetherItem } from './together.ts';

/** For the way there and back, beside waiting for a turn and having it. */
const TRAVEL_MS: Millis = 1_000;

export interface ScriptPlaceEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
  /** Every node runs scripts for others. */
  readonly scriptsTravel: boolean;
}

/** The group whose leader is to run requests; undefined: this node. */
function placeOf({ kv, scriptsTravel }: ScriptPlaceEnvironment, items: readonly TogetherItem[]): GroupId | undefined {
  if (!scriptsTravel || !items.every(({ request }) => request.takesAnyTime)) return undefined;
  const [first] = items[0]!.request.storageKeys();
  if (first === undefined) return undefined;
  const group = kv.groupOf(first);
  return kv.servesLocally(group) ? undefined : group;
}

/** Has requests run where they are to run, in their order. @returns those that are to run here */
export async function runWhereLed(
  environment: ScriptPlaceEnvironment,
  items: readonly TogetherItem[],
): Promise<readonly TogetherItem[]> {
  const group = placeOf(environment, items);
  if (group === undefined) return items;
  const { kv, clock, commandTimeoutMs } = environment;
  const payload = encodeAcross(
    group,
    items.map(({ request }) => request),
  );
  try {
    const deadlineMs = clock.monotonicMs() + 2 * commandTimeoutMs + TRAVEL_MS;
    const bytes = await forwarded(kv, group, FORWARD_SERVICE, payload, deadlineMs);
    const answers = decodeAnswers(bytes, (place, slow) => {
      items[place]!.request.tookLong(slow);
    });
    return items.filter(({ settle }, at) => {
      const answer = answers[at];
      if (!Buffer.isBuffer(answer)) return true;
      settle({ reply: new EncodedReply(answer) });
      return false;
    });
  } catch (error) {
    if (!isOutcomeUnknown(error)) return items;
    for (const { settle } of items) settle({ error });
    return [];
  }
}

export interface ScriptsForOthersEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
  /** Gives a request its turn. */
  inTurn(item: TogetherItem): void;
}

/**
 * Runs requests of another node in their order, each in its turn.
 * @returns what each ended with; an error for which `isReturnable` holds: nothing happened
 * @throws NotLeaderError when others have their turns elsewhere: nothing happened
 */
export async function runForOther(
  { kv, clock, commandTimeoutMs, inTurn }: ScriptsForOthersEnvironment,
  group: GroupId,
  requests: readonly GroupRequest[],
): Promise<Outcome[]> {
  if (!kv.servesLocally(group)) throw new NotLeaderError(undefined);
  const source = {};
  const untilMs = clock.monotonicMs() + commandTimeoutMs;
  let isRefused = false;
  const refusal = (): Error | undefined => {
    isRefused ||= clock.monotonicMs() > untilMs;
    return isRefused ? new RangeBusyError('the command runs where it came from') : undefined;
  };
  return Promise.all(
    requests.map(
      (request) =>
        new Promise<Outcome>((resolve) => {
          const settle = (outcome: Outcome): void => {
            // What comes behind it may not pass it.
            if ('error' in outcome && isReturnable(outcome.error)) isRefused = true;
            resolve(outcome);
          };
          const byItself = (): Promise<Reply> => {
            isRefused = true;
            return Promise.reject(refusal()!);
          };
          if (!(request instanceof CommandRequest))
            settle({ error: new RangeBusyError('only commands run for others') });
          else inTurn({ request, source, refusal, byItself, settle });
        }),
    ),
  );
}
