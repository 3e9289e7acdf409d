/**
 * Reads of coordinators: at the leaders of the groups, following keys that move; and reads of several groups that were all
 * true at one moment, without locks.
 *
 * Proof of `readTogether`. Every key is read twice, and between its two reads all keys of the *pivot* are read, in one
 * evaluation of one group, at the moment M. A read waits for write locks, so a transaction's lock on a key lies wholly before
 * or wholly behind each read of it. Take a key x outside the pivot with the same version in both reads. Versions of a key
 * only rise, so x had this value all the time between the reads, at M too; a transaction that wrote x had its lock on x
 * before the first read or after the second. A transaction takes place while it has all of its locks. If its lock on x was
 * before the first read, it took place before M, so its locks on keys of the pivot began before M; they were not there at M,
 * so they had ended, and its writes were seen. If its lock on x came after the second read, it took place after M, and nothing of it
 * was seen anywhere. So what is answered is what was true at M: the pivot's read and the second reads of the others.
 *
 * A key that is not there has no version, and could have come and gone between two reads; so such keys must all be the
 * pivot's. Otherwise nothing is known and the caller takes locks. When every key is there no pivot is needed: M is any
 * moment between the last first read and the first second one.
 */
import type { GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import { assert, hlcTimestamp } from '../../platform/index.ts';
import { NotOwnerError, SnapshotUncoveredError } from '../errors.ts';
import type { LiveValue } from '../types.ts';
import { divide, pause, persist } from './coordinator-patience.ts';
import type { CoordinatorParts, CoveredMoment } from './coordinator-types.ts';
import { nameOf } from './lock-rows.ts';
import { type Absence, versionOf } from './transaction-view.ts';
import type { TxnReadReply } from './types.ts';

/** How keys are read: as of a moment, or as they are now; then perhaps with when those were deleted that are not there. */
export interface ReadHow {
  readonly moment?: CoveredMoment | undefined;
  readonly withDeletes?: boolean | undefined;
}

/** Values by key name; undefined for what is not there. */
export class ReadValues extends Map<string, LiveValue | undefined> {
  /** What was seen lies at or below this, deletes too. */
  seenTs: HlcTimestamp = hlcTimestamp(0n);

  /** Of keys that are not there, when that was asked for. */
  private readonly absences = new Map<string, Absence>();

  absence(name: string): Absence | undefined {
    return this.absences.get(name);
  }

  /** Takes over what one group has answered for these keys. */
  take(keys: readonly Buffer[], { rows, deletedTs, seenTs }: TxnReadReply): void {
    for (const [at, key] of keys.entries()) {
      this.set(nameOf(key), rows[at]);
      if (deletedTs !== undefined && rows[at] === undefined) {
        this.absences.set(nameOf(key), { deletedTs: deletedTs[at]!, seenTs });
      }
    }
    this.sawUpTo(seenTs);
  }

  /** Takes over what was read before or elsewhere. */
  merge(others: ReadValues): void {
    for (const [name, value] of others) this.set(name, value);
    for (const [name, absence] of others.absences) this.absences.set(name, absence);
    this.sawUpTo(others.seenTs);
  }

  sawUpTo(ts: HlcTimestamp): void {
    if (ts > this.seenTs) this.seenTs = ts;
  }
}

/**
 * Reads keys, each as it is now or as of `moment`.
 * @throws the last refusal when the deadline (monotonic) is over; SnapshotUncoveredError
 */
export async function readKeys(
  parts: CoordinatorParts,
  keys: readonly Buffer[],
  deadlineMs: Millis,
  how: ReadHow = {},
): Promise<ReadValues> {
  const values = new ReadValues();
  let hint: GroupId | undefined;
  let left = keys;
  for (let tries = 0; left.length > 0; tries++) {
    const groupOf = (key: Buffer): GroupId => hint ?? parts.kv.groupOf(key);
    const moved: { keys: readonly Buffer[]; error: NotOwnerError; group: GroupId }[] = [];
    const asked = [...divide(left, (key) => key, groupOf)];
    await Promise.all(
      asked.map(async ([group, own]) => {
        try {
          await readGroup(parts, group, own, deadlineMs, values, how);
        } catch (error) {
          if (!(error instanceof NotOwnerError)) throw error;
          moved.push({ keys: own, error, group });
        }
      }),
    );
    left = moved.flatMap(({ keys: own }) => own);
    if (left.length === 0) break;
    const [first] = moved;
    if (parts.clock.monotonicMs() >= deadlineMs) throw first!.error;
    // One key is looked for where the refusal says; of several nobody knows which have gone there.
    hint = moved.length === 1 && left.length === 1 && hint === undefined ? first!.error.hint : undefined;
    if (hint === undefined || tries > 0) await pause(parts, tries);
  }
  return values;
}

/** @throws NotOwnerError when the group does not have all of them */
async function readGroup(
  parts: CoordinatorParts,
  group: GroupId,
  keys: readonly Buffer[],
  deadlineMs: Millis,
  values: ReadValues,
  { moment, withDeletes = false }: ReadHow,
): Promise<void> {
  if (moment !== undefined) requireCovered(moment, group);
  const request = moment === undefined ? { keys, withDeletes } : { keys, readTs: moment.ts };
  const reply = await persist(parts, deadlineMs, () => parts.client.read(group, request));
  assert(reply.rows.length === keys.length, 'a group answers for each key');
  values.take(keys, reply);
}

/** @throws SnapshotUncoveredError when the group may have acknowledged more than the moment covers */
export function requireCovered(moment: CoveredMoment, group: GroupId): void {
  if (moment.covered.has(group)) return;
  throw new SnapshotUncoveredError(`group ${group} did not say how far it was when the transaction began; begin again`);
}

/**
 * Reads keys so that all of them were as they are answered at one moment after the call.
 * @returns undefined when that cannot be told without locks, or something changed meanwhile
 * @throws as `readKeys`, but for keys that have moved, which are something that changed
 */
export async function readTogether(
  parts: CoordinatorParts,
  keys: readonly Buffer[],
  deadlineMs: Millis,
  how: Pick<ReadHow, 'withDeletes'> = {},
): Promise<ReadValues | undefined> {
  const byGroup = divide(
    keys,
    (key) => key,
    (key) => parts.kv.groupOf(key),
  );
  const first = new ReadValues();
  const second = new ReadValues();
  try {
    await readAll(parts, byGroup, deadlineMs, first, how);
    // One group answers from one moment.
    if (byGroup.size === 1) return first;
    const absent = [...byGroup].filter(([, own]) => own.some((key) => first.get(nameOf(key)) === undefined));
    if (absent.length > 1) return undefined;
    for (const [group, own] of absent) await readGroup(parts, group, own, deadlineMs, second, how);
    const others = new Map([...byGroup].filter(([group]) => group !== absent[0]?.[0]));
    await readAll(parts, others, deadlineMs, second, how);
    for (const own of others.values()) {
      for (const key of own) {
        const name = nameOf(key);
        const version = versionOf(second.get(name));
        if (version === 0n || version !== versionOf(first.get(name))) return undefined;
      }
    }
    return second;
  } catch (error) {
    if (error instanceof NotOwnerError) return undefined;
    throw error;
  }
}

async function readAll(
  parts: CoordinatorParts,
  byGroup: ReadonlyMap<GroupId, readonly Buffer[]>,
  deadlineMs: Millis,
  values: ReadValues,
  how: ReadHow,
): Promise<void> {
  await Promise.all([...byGroup].map(([group, own]) => readGroup(parts, group, own, deadlineMs, values, how)));
}
