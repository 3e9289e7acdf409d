/** The changes that lead from a backup to a moment: read, proven, and held against their hashes, in the order in which they are to be written. */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { BlockCompression, ExportedVersion } from '../../store/index.ts';
import { BackupDamagedError, decodePart } from '../format/index.ts';
import { type MomentPlan, plannedSteps } from './change-windows.ts';

export interface ReadChangesOptions {
  readonly compression: BlockCompression;
  /** Told of each step before it is read. */
  readonly onStep?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Versions behind the backup's moment and up to the wanted one, page by page: of each key in the order of its timestamps. A range that was moved may
 * bring versions twice.
 * @throws BackupDamagedError, BackupKeyError
 */
export async function* readChanges(
  plan: MomentPlan,
  { compression, onStep, signal }: ReadChangesOptions,
): AsyncGenerator<readonly ExportedVersion[]> {
  const { at, backup, log, firstSeq, lastSeq } = plan;
  const isWanted = (ts: HlcTimestamp): boolean => ts > backup.at && ts <= at;
  for await (const { step } of plannedSteps(plan)) {
    onStep?.(step.seq - firstSeq, lastSeq - firstSeq + 1);
    for (const part of step.parts) {
      const what = `the part ${part.object.name} of step ${step.seq} of ${step.chain}`;
      let versions = 0;
      for await (const page of decodePart(log.readPart(step, part, signal), compression, what)) {
        versions += page.length;
        const wanted = page.filter(({ commitTs }) => isWanted(commitTs));
        if (wanted.length > 0) yield wanted;
      }
      if (versions !== part.versions) {
        throw new BackupDamagedError(`${what} is damaged: it has ${versions} versions instead of ${part.versions}`);
      }
    }
  }
}

/** What a look at all changes of a plan found. */
export interface ChangesCheck {
  readonly steps: number;
  readonly versions: number;
  /** Empty when all is sound. */
  readonly problems: readonly string[];
}

/** Reads every byte that leads from the backup to the moment. @throws BackupKeyError; errors of the store */
export async function verifyChanges(plan: MomentPlan, options: ReadChangesOptions): Promise<ChangesCheck> {
  let versions = 0;
  const steps = plan.lastSeq - plan.firstSeq + 1;
  try {
    for await (const page of readChanges(plan, options)) versions += page.length;
  } catch (error) {
    if (!(error instanceof BackupDamagedError)) throw error;
    return { steps, versions, problems: [error.message] };
  }
  return { steps, versions, problems: [] };
}
