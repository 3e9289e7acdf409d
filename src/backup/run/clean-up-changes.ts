/**
 * Takes away what no restore of a moment needs of the archive of changes: steps that end at or before the oldest backup that is kept, chains that
 * broke off and lead on from no backup, and parts that no step names. It runs while changes are archived: a part is only looked at when there is a
 * step of its number, or of a later one, because what is on its way lies behind the last step; and nobody writes a second step of one number.
 */
import {
  attemptOf,
  BackupDamagedError,
  type BackupManifest,
  type BackupPlace,
  ChangeLog,
  type StoredPart,
} from '../format/index.ts';
import { type ChangeWindow, changeWindows, firstStepUpTo, leadsOnFrom } from './change-windows.ts';

/** What was taken away. */
export interface ChangesCleanUp {
  readonly steps: number;
  /** Parts, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
}

/** Between looks whether it is still this one that cleans up. */
const LOOK_STEPS = 256;

/**
 * See the top of the file.
 * @param kept backups that stay
 * @throws BackupDamagedError when a step cannot be read that has to be: nothing that it may name was deleted
 */
export async function cleanUpChanges(
  place: BackupPlace,
  kept: readonly BackupManifest[],
  assertOwn: () => Promise<void>,
): Promise<ChangesCleanUp> {
  const log = new ChangeLog(place);
  const windows = await changeWindows(log, kept);
  const damaged = windows.find(({ clusterName }) => clusterName === '');
  // What it leads on from is not known.
  if (damaged !== undefined) throw new BackupDamagedError(damaged.problem);
  let steps = 0;
  for (const [at, window] of windows.entries()) {
    const isNewest = !windows.slice(at + 1).some(({ clusterName }) => clusterName === window.clusterName);
    const end = await neededFrom(log, window, kept, isNewest);
    // From the oldest on: whatever ends this leaves a chain without a hole.
    for (let seq = window.firstSeq; seq < end; seq++) {
      if (steps % LOOK_STEPS === 0) await assertOwn();
      await log.removeStep(window.chain, seq);
      steps += 1;
    }
  }
  await assertOwn();
  return { steps, ...(await removeUnnamedParts(log)) };
}

/** The first step that is needed; behind the last one when none is. */
async function neededFrom(
  log: ChangeLog,
  window: ChangeWindow,
  kept: readonly BackupManifest[],
  isNewest: boolean,
): Promise<number> {
  const oldest = kept.find(leadsOnFrom(window));
  // The first backup of a chain that has just begun is still to come.
  if (oldest === undefined) return isNewest ? window.firstSeq : window.lastSeq + 1;
  const first = await firstStepUpTo(log, window, (to) => to > oldest.at);
  // The end of the chain stays: where it ends is known by it.
  return Math.min(first, window.lastSeq);
}

async function removeUnnamedParts(log: ChangeLog): Promise<Omit<ChangesCleanUp, 'steps'>> {
  // Before the parts are listed: one that comes later lies behind the last step, or is an attempt's that came too late.
  const seqs = new Map([...(await log.chains())].map(([chain, there]) => [chain, new Set(there)]));
  const lastSeqs = new Map([...seqs].map(([chain, there]) => [chain, Math.max(...there)]));
  let [objects, bytes] = [0, 0];
  const remove = async (part: StoredPart): Promise<void> => {
    await log.removePart(part);
    objects += 1;
    bytes += part.bytes;
  };
  for await (const parts of byStep(log)) {
    const { chain, seq } = parts[0]!;
    if (seq > (lastSeqs.get(chain) ?? -1)) {
      // A chain that was taken away as a whole; one that begins has its first step before it has parts.
      if (!lastSeqs.has(chain) && !(await log.chains()).has(chain)) for (const part of parts) await remove(part);
      continue;
    }
    const isTrimmed = seqs.get(chain)?.has(seq) !== true;
    const named = isTrimmed ? new Set<string>() : await namedParts(log, parts);
    for (const part of parts) if (!named.has(part.name)) await remove(part);
  }
  return { objects, bytes };
}

/** What the step of some parts names. An attempt that is alone is the one that was written, as a rule: the step is not read for that. */
async function namedParts(log: ChangeLog, parts: readonly StoredPart[]): Promise<ReadonlySet<string>> {
  const attempts = new Set(parts.map(({ name }) => attemptOf(name)));
  if (attempts.size === 1) return new Set(parts.map(({ name }) => name));
  const { step } = await log.step(parts[0]!.chain, parts[0]!.seq);
  return new Set(step.parts.map(({ object }) => object.name));
}

async function* byStep(log: ChangeLog): AsyncGenerator<StoredPart[]> {
  let held: StoredPart[] = [];
  for await (const part of log.parts()) {
    const last = held[0];
    if (last !== undefined && (last.chain !== part.chain || last.seq !== part.seq)) {
      yield held;
      held = [];
    }
    held.push(part);
  }
  if (held.length > 0) yield held;
}
