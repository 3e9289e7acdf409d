/**
 * The moments that a place can restore: from a backup that was made while changes were archived to the end of their chain. Where a chain broke off
 * another one begins, and its window with the first backup in it.
 */
import { type HlcTimestamp, type Millis, NEVER } from '../../platform/index.ts';
import {
  assertFollows,
  BackupDamagedError,
  BackupError,
  type BackupManifest,
  type BackupPlace,
  ChangeLog,
  type StoredStep,
} from '../format/index.ts';

/** A chain of steps without a hole. */
export interface ChangeWindow {
  readonly chain: string;
  readonly clusterName: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Where the first of its steps begins; changes up to it are not there. */
  readonly from: HlcTimestamp;
  /** Where the last of its steps ends. */
  readonly to: HlcTimestamp;
  /** Backups from which changes lead on, oldest first. The window begins with the first of them; without one nothing can be restored. */
  readonly backups: readonly BackupManifest[];
  /** What is wrong with the chain; empty for nothing. */
  readonly problem: string;
}

/** How a moment is restored. */
export interface MomentPlan {
  readonly at: HlcTimestamp;
  readonly backup: BackupManifest;
  readonly log: ChangeLog;
  readonly chain: string;
  /** The first step that ends behind the backup's moment, and the first that ends at or behind the wanted one. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** The old cluster may have issued timestamps up to here, as far as the place knows. */
  readonly ceilingMs: Millis;
}

/** Runs of numbers without a hole. @param seqs ascending */
export function runsOf(seqs: readonly number[]): { readonly first: number; readonly last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (const seq of seqs) {
    const run = runs.at(-1);
    if (run !== undefined && run.last + 1 === seq) run.last = seq;
    else runs.push({ first: seq, last: seq });
  }
  return runs;
}

/** Backups that steps lead on from. */
export const leadsOnFrom =
  ({ clusterName, from, to }: Pick<ChangeWindow, 'clusterName' | 'from' | 'to'>) =>
  (backup: Pick<BackupManifest, 'clusterName' | 'at'>): boolean =>
    backup.clusterName === clusterName && backup.at >= from && backup.at <= to;

/**
 * All chains, oldest first. Of each only the ends are read.
 * @param backups oldest first
 */
export async function changeWindows(log: ChangeLog, backups: readonly BackupManifest[]): Promise<ChangeWindow[]> {
  const windows: ChangeWindow[] = [];
  for (const [chain, seqs] of await log.chains()) {
    const runs = runsOf(seqs);
    for (const [at, { first, last }] of runs.entries()) {
      const hole = at + 1 < runs.length ? `steps ${last + 1} to ${runs[at + 1]!.first - 1} are missing behind it` : '';
      try {
        const begins = (await log.step(chain, first)).step;
        const ends = first === last ? begins : (await log.step(chain, last)).step;
        const window = { clusterName: ends.clusterName, from: begins.from, to: ends.to };
        windows.push({
          chain,
          firstSeq: first,
          lastSeq: last,
          ...window,
          backups: backups.filter(leadsOnFrom(window)),
          problem: hole,
        });
      } catch (error) {
        if (!(error instanceof BackupError || error instanceof BackupDamagedError)) throw error;
        const none = { clusterName: '', from: NEVER, to: NEVER, backups: [] };
        windows.push({ chain, firstSeq: first, lastSeq: last, ...none, problem: error.message });
      }
    }
  }
  return windows;
}

/** The first step of a run that ends behind a moment, or at it. The ends of steps rise, so a few are read. */
export async function firstStepUpTo(
  log: ChangeLog,
  { chain, firstSeq, lastSeq }: Pick<ChangeWindow, 'chain' | 'firstSeq' | 'lastSeq'>,
  reaches: (to: HlcTimestamp) => boolean,
): Promise<number> {
  let [low, high] = [firstSeq, lastSeq];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (reaches((await log.step(chain, middle)).step.to)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Every backup of a place that can be read, oldest first. */
export async function readableBackups(place: BackupPlace): Promise<BackupManifest[]> {
  const backups: BackupManifest[] = [];
  for (const id of await place.ids()) {
    // What is damaged is of no use here; listing and verifying name it.
    const backup = await place.manifest(id).catch(() => undefined);
    if (backup !== undefined) backups.push(backup);
  }
  return backups;
}

/**
 * How to restore a moment: the newest backup at or before it from which changes lead there.
 * @param named the backup to begin with; undefined: the best one
 * @throws BackupError that says which moments there are
 */
export async function planMoment(
  place: BackupPlace,
  at: HlcTimestamp,
  named: string | undefined,
  tellMoment: (at: HlcTimestamp) => string,
): Promise<MomentPlan> {
  const log = new ChangeLog(place);
  const all = await readableBackups(place);
  const windows = await changeWindows(log, all);
  const found = windows.flatMap((window) =>
    window.to < at
      ? []
      : window.backups
          .filter((backup) => backup.at <= at && (named === undefined || backup.id === named))
          .map((backup) => ({ window, backup })),
  );
  const best = found.toSorted((left, right) => (left.backup.at < right.backup.at ? -1 : 1)).at(-1);
  if (best === undefined) {
    const moments = windows
      .filter(({ backups }) => backups.length > 0)
      .map(({ backups, to }) => `${tellMoment(backups[0]!.at)} to ${tellMoment(to)}`);
    const which = moments.length === 0 ? 'there are none to choose from' : `there are ${moments.join(', ')}`;
    const from = named === undefined ? '' : ` from backup ${named}`;
    throw new BackupError(`${tellMoment(at)} cannot be restored${from} at ${place.store.place}: ${which}`);
  }
  const { window, backup } = best;
  const names = new Set(found.map((candidate) => candidate.backup.clusterName));
  if (names.size > 1) {
    throw new BackupError(
      `there are backups of several clusters (${[...names].join(', ')}): name the backup to begin with`,
    );
  }
  await place.readable(backup.id);
  const firstSeq = await firstStepUpTo(log, window, (to) => to > backup.at);
  const lastSeq = await firstStepUpTo(log, window, (to) => to >= at);
  const ceilings = await ceilingsOf(log, windows, backup.clusterName);
  return { at, backup, log, chain: window.chain, firstSeq, lastSeq, ceilingMs: Math.max(0, ...ceilings) };
}

/** What the last steps of all chains of a cluster say of its timestamps. */
async function ceilingsOf(log: ChangeLog, windows: readonly ChangeWindow[], clusterName: string): Promise<Millis[]> {
  const ceilings: Millis[] = [];
  for (const window of windows) {
    if (window.clusterName !== clusterName) continue;
    ceilings.push((await log.step(window.chain, window.lastSeq)).step.ceilingMs);
  }
  return ceilings;
}

/** The steps of a plan, in order and proven to follow each other. @throws BackupDamagedError */
export async function* plannedSteps({ log, chain, firstSeq, lastSeq }: MomentPlan): AsyncGenerator<StoredStep> {
  let before: StoredStep | undefined;
  for (let seq = firstSeq; seq <= lastSeq; seq++) {
    const next = await log.step(chain, seq);
    if (before !== undefined) assertFollows(before, next);
    yield next;
    before = next;
  }
}
