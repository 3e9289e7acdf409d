/** `routes jobs`, `routes abort`: moves on their way. */
import type { Command } from 'commander';
import type { JobView } from '../../../src/cluster/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { formatEnd, formatStart } from '../keys.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatDuration, parseId, wholeNumber } from '../values.ts';

const COLUMNS: readonly Column<JobView>[] = [
  { name: 'job', align: 'right', value: (job) => String(job.id) },
  { name: 'route', align: 'right', value: (job) => String(job.routeId) },
  { name: 'start', value: (job) => formatStart(job.start) },
  { name: 'end', value: (job) => formatEnd(job.end) },
  { name: 'from', align: 'right', value: (job) => String(job.src) },
  { name: 'to', align: 'right', value: (job) => String(job.dst) },
  { name: 'phase', value: (job) => job.phase },
  { name: 'attempt', align: 'right', value: (job) => String(job.attempt) },
  { name: 'took', align: 'right', value: (job) => formatDuration(Math.max(0, job.updatedMs - job.createdMs)) },
  { name: 'last problem', value: (job) => job.lastError || '-' },
];

/** Between two looks at a job. */
const LOOK_MS = 250;

/** Adds the commands. */
export function addJobCommands(routes: Command, declare: Declare): void {
  const jobs = routes
    .command('jobs')
    .summary('moves on their way, and finished ones')
    .description(
      'Unfinished jobs, then finished ones, newest first. docs/design/control-plane/catalog.md explains the phases.',
    )
    .argument('[job]', 'only this one', parseId)
    .option('--finished <count>', 'finished ones at most', wholeNumber(0, 1024), 20);
  declare(
    examples(jobs, ['routes jobs', 'with the last 20 that are done'], ['routes jobs 17', 'one of them']),
    async (session: Session, id: number | undefined, flags: { finished: number }) => {
      const reply = await session.cluster.call('Jobs', { id: id ?? 0, finishedLimit: flags.finished });
      session.rows(reply.jobs, COLUMNS, reply.jobs);
      if (id !== undefined && reply.jobs.length === 0) {
        throw new CommandFailure(`there is no job ${id}; the last 1,024 that are done are kept`);
      }
    },
  );

  const abort = routes
    .command('abort')
    .summary('give up a move')
    .description(
      'The range stays where it is. Refused once the source has released it: from there a move only goes forward.',
    )
    .argument('<job>', 'id of the job', parseId);
  declare(
    examples(abort, ['routes abort 17', 'gives job 17 up and undoes what it did']),
    async (session: Session, id: number) => {
      const { changed, job } = await session.cluster.call('AbortJob', { id });
      session.outcome(
        { changed, job },
        changed
          ? `job ${id} is being given up; route ${job.routeId} stays in group ${job.src}`
          : `job ${id} was given up already (${job.phase})`,
      );
    },
  );
}

/** Waits until a job is done and shows its phases. @throws CommandFailure when it was given up, or takes too long */
export async function waitForJob(session: Session, id: number, waitTimeoutMs: number): Promise<JobView> {
  const startedMs = performance.now();
  try {
    for (;;) {
      const { jobs } = await session.cluster.call('Jobs', { id, finishedLimit: 0 });
      const job = jobs[0];
      if (job === undefined) throw new CommandFailure(`job ${id} is not listed any more; see \`routes list\``);
      const elapsedMs = performance.now() - startedMs;
      session.progress(`job ${id} ${job.phase}${job.lastError === '' ? '' : ` (${job.lastError})`}`);
      if (job.phase === 'DONE' || job.phase === 'CLEANUP') return job;
      if (job.isFinished) {
        const why = job.lastError === '' ? '' : `: ${job.lastError}`;
        throw new CommandFailure(`job ${id} was given up and route ${job.routeId} is still in group ${job.src}${why}`);
      }
      if (elapsedMs >= waitTimeoutMs) {
        throw new CommandFailure(
          `job ${id} is in ${job.phase} after ${formatDuration(elapsedMs)} and goes on; see \`routes jobs ${id}\``,
        );
      }
      await session.pause(LOOK_MS);
    }
  } finally {
    session.progressDone();
  }
}
