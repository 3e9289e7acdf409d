/**
 * Where requests run whose keys are in several groups. Scripts of one queue come from clients of all nodes and write the same keys; coordinators on
 * several nodes would lose against each other most of the time. So they run where the group of their first key is led, in turns with those of all other
 * nodes. Short writes of the same groups have no key in common, but a transaction costs its entries whatever is in it: those of all nodes share one where
 * it is committed. Whoever was asked may say that a request is to be run by the node of its client; nothing of it has happened then, nor of what was asked
 * behind it.
 */
import { forwarded, type KvService, RangeBusyError } from '../../../kv/index.ts';
import { type Clock, type GroupId, isOutcomeUnknown, type Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { EncodedReply, type Reply } from '../protocol/index.ts';
import { decodeAnswers, encodeAcross, FORWARD_SERVICE, isReturnable } from './forwarded-command.ts';
import { CommandRequest, type GroupRequest } from './group-request.ts';
import { weightOf } from './request-weight.ts';
import type { Outcome, TogetherItem } from './together.ts';

/** Short writes that are longer, all in all, are not copied to another node to save entries. */
const MOST_SHORT_BYTES = 128 * 1024;
/** For the way there and back, beside waiting for a turn and having it. */
const TRAVEL_MS: Millis = 1_000;

export interface AcrossPlaceEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
  /** Every node runs requests over several groups for others. */
  readonly requestsTravel: boolean;
}

/** What short writes have in common that may run as one transaction though they have nothing to do with each other: their groups. */
export function kinOf(
  { kv }: Pick<AcrossPlaceEnvironment, 'kv'>,
  { commands }: GroupRequest,
  keys: readonly Buffer[],
): string | undefined {
  if (commands.some(({ spec }) => spec.group !== 'string')) return undefined;
  return [...new Set(keys.map((key) => kv.groupOf(key)))].sort((a, b) => a - b).join(' ');
}

/** The group whose leader is to run requests; undefined: this node. */
function placeOf({ kv, requestsTravel }: AcrossPlaceEnvironment, items: readonly TogetherItem[]): GroupId | undefined {
  if (!requestsTravel) return undefined;
  const [first] = items;
  let key: Buffer | undefined;
  if (items.every(({ request }) => request.takesAnyTime)) [key] = first!.keys;
  else if (areShort(items)) key = primaryOf(first!);
  if (key === undefined) return undefined;
  const group = kv.groupOf(key);
  return kv.servesLocally(group) ? undefined : group;
}

/** Whether these are short writes of the same groups. */
function areShort(items: readonly TogetherItem[]): boolean {
  const { kin } = items[0]!;
  let bytes = 0;
  for (const { request } of items) bytes += weightOf(request).argumentBytes;
  return kin !== undefined && bytes <= MOST_SHORT_BYTES && items.every((item) => item.kin === kin);
}

/** The key at which the transaction is committed, or one of the same range: ranges are in the order of keys, as primaries are. */
const primaryOf = ({ keys }: TogetherItem): Buffer =>
  keys.reduce((smallest, key) => (Buffer.compare(key, smallest) < 0 ? key : smallest));

/** Has requests run where they are to run, in their order. @returns those that are to run here */
export async function runWhereLed(
  environment: AcrossPlaceEnvironment,
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

export interface AcrossForOthersEnvironment {
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
  { kv, clock, commandTimeoutMs, inTurn }: AcrossForOthersEnvironment,
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
          if (!(request instanceof CommandRequest)) {
            settle({ error: new RangeBusyError('only commands run for others') });
            return;
          }
          const keys = request.storageKeys();
          inTurn({ request, source, keys, kin: kinOf({ kv }, request, keys), refusal, byItself, settle });
        }),
    ),
  );
}
