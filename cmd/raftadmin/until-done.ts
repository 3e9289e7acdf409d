/** Work of the cluster that is said again and again until it is done. */
import { CommandFailure } from '../cli/failure.ts';
import type { Session } from './session.ts';
import { formatDuration } from './values.ts';

/** Between two steps. */
const LOOK_MS = 500;
/** What passes, or is cured by saying it again. */
const PASSING: ReadonlySet<string | undefined> = new Set([
  'WORK_HELD',
  'LEADER_UNAVAILABLE',
  'OUTCOME_UNKNOWN',
  'BUSY',
  'NOT_LEADER',
  'CONF_CHANGE_REFUSED',
  'NO_ROUTES',
  'STOPPED',
]);

/** One piece of such work. */
export interface LongWork<Status> {
  /** Asks for it once more. */
  step(): Promise<Status>;
  isDone(status: Status): boolean;
  /** One line for whoever waits. */
  describe(status: Status): string;
}

/**
 * Says it again until it is done, and shows how far it is.
 * @returns the last status
 * @throws CommandFailure for what does not pass, or takes too long
 */
export async function untilDone<Status>(
  session: Session,
  waitTimeoutMs: number,
  work: LongWork<Status>,
): Promise<Status> {
  const deadlineMs = performance.now() + waitTimeoutMs;
  let last = '';
  try {
    for (;;) {
      try {
        const status = await work.step();
        if (work.isDone(status)) return status;
        last = work.describe(status);
      } catch (error) {
        if (!(error instanceof CommandFailure) || !PASSING.has(error.code)) throw error;
        last = `${error.message} [${error.code}]`;
      }
      if (performance.now() >= deadlineMs) {
        throw new CommandFailure(
          `not done within ${formatDuration(waitTimeoutMs)} (${last}); the same command goes on where this one ended`,
        );
      }
      session.progress(last);
      await session.pause(LOOK_MS);
    }
  } finally {
    session.progressDone();
  }
}
