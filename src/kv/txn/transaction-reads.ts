/**
 * Reads of coordinators: at the leaders of the groups, a piece of each group's keys at a time, following keys that move; and reads of several
 * pieces that were all true at one moment, without locks.
 *
 * Proof of `readTogether`. Every key is read twice. M is a moment between the last of the first reads and the first of the second ones. A read
 * waits for write locks, so a transaction's lock on a key lies wholly before or wholly behind each read of it. Take a key that was
 * written last at the same timestamp in both reads. Writes of a key only rise, so it had this value all the time between
 * the reads, at M too; a transaction that wrote it had its lock on it before the first read or after the second. A transaction takes
 * place while it has all of its locks. If its lock on one key was before the first read, it took place before M, so its locks
 * on the others began before M; they had ended when those were read for the second time, so its writes were seen there too. If its lock on
 * one came after the second read, it took place after M, and nothing of it was seen anywhere. So what is answered is what was true at M.
 *
 * A key that is not there counts by when it was last written too: by its tombstone, a deleted range, or the value that has expired. Those are
 * collected some time, so the group also says up to where it has collected: as long as that is below the first read, a key that
 * came and went after it has left a trace.
 */
import { assert, type GroupId, type HlcTimestamp, type Millis, NEVER } from '../../platform/index.ts';
import { nameOf } from '../apply/index.ts';
import { type LiveValue, NotOwnerError, SnapshotUncoveredError, type TxnReadReply } from '../contract/index.ts';
import { chunksOf, divide, pause, persist } from './coordinator-patience.ts';
import type { CoordinatorParts, CoveredMoment } from './coordinator-types.ts';
import type { Absence } from './transaction-view.ts';

/** How keys are read: as of a moment, or as they are now; then perhaps with what is known of those that are not there. */
export interface ReadHow {
  readonly moment?: CoveredMoment | undefined;
  readonly withAbsences?: boolean | undefined;
}

/** Values by key name; undefined for what is not there. */
export class ReadValues extends Map<string, LiveValue | undefined> {
  /** What was seen lies at or below this, deletes too. */
  seenTs: HlcTimestamp = NEVER;

  /** Of keys that are not there, when that was asked for. */
  private readonly absences = new Map<string, Absence>();

  absence(name: string): Absence | undefined {
    return this.absences.get(name);
  }

  /** Takes over what one group has answered for these keys. */
  take(keys: readonly Buffer[], { rows, absences, seenTs }: TxnReadReply): void {
    for (const [at, key] of keys.entries()) {
      const name = nameOf(key);
      this.set(name, rows[at]);
      const absence = absences?.keys[at];
      if (absence !== undefined) this.absences.set(name, { ...absence, collectedTs: absences!.collectedTs, seenTs });
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
  { moment, withAbsences = false }: ReadHow,
): Promise<void> {
  if (moment !== undefined) requireCovered(moment, group);
  for (const piece of chunksOf(keys)) {
    const request = moment === undefined ? { keys: piece, withAbsences } : { keys: piece, readTs: moment.ts };
    const reply = await persist(parts, deadlineMs, () => parts.client.read(group, request));
    assert(reply.rows.length === piece.length, 'a group answers for each key');
    values.take(piece, reply);
  }
}

/** @throws SnapshotUncoveredError when the group may have acknowledged more than the moment covers */
export function requireCovered(moment: CoveredMoment, group: GroupId): void {
  if (moment.covered.has(group)) return;
  throw new SnapshotUncoveredError(`group ${group} did not say how far it was when the transaction began; begin again`);
}

/**
 * Reads keys so that all of them were as they are answered at one moment after the call.
 * @returns undefined when something changed meanwhile
 * @throws as `readKeys`, but for keys that have moved, which are something that changed
 */
export async function readTogether(
  parts: CoordinatorParts,
  keys: readonly Buffer[],
  deadlineMs: Millis,
): Promise<ReadValues | undefined> {
  const byGroup = divide(
    keys,
    (key) => key,
    (key) => parts.kv.groupOf(key),
  );
  const first = new ReadValues();
  const second = new ReadValues();
  try {
    await readAll(parts, byGroup, deadlineMs, first);
    // One evaluation of one group is of one moment.
    if (byGroup.size === 1 && chunksOf(keys).length === 1) return first;
    await readAll(parts, byGroup, deadlineMs, second);
    for (const key of keys) if (!isSame(first, second, nameOf(key))) return undefined;
    return second;
  } catch (error) {
    if (error instanceof NotOwnerError) return undefined;
    throw error;
  }
}

/** True when nobody has written a key between two reads of it. */
function isSame(first: ReadValues, second: ReadValues, name: string): boolean {
  const [before, after] = [first.get(name), second.get(name)];
  if (before !== undefined || after !== undefined) return before?.commitTs === after?.commitTs;
  const [gone, stillGone] = [first.absence(name), second.absence(name)];
  if (gone === undefined || stillGone === undefined) return false;
  return gone.writtenTs === stillGone.writtenTs && stillGone.collectedTs < gone.seenTs;
}

async function readAll(
  parts: CoordinatorParts,
  byGroup: ReadonlyMap<GroupId, readonly Buffer[]>,
  deadlineMs: Millis,
  values: ReadValues,
): Promise<void> {
  const how = { withAbsences: true };
  await Promise.all([...byGroup].map(([group, own]) => readGroup(parts, group, own, deadlineMs, values, how)));
}
