/** The version of the directory of routes, with nothing missing that was done before the question. */
import type { WatchStatus } from '../cluster/index.ts';
import { LeaderUnavailableError } from '../kv/index.ts';
import { type Clock, type Millis, type Scheduler, sleep } from '../platform/index.ts';

const LOOK_MS: Millis = 50;
/** Beats come every second, and while streams do not last every few seconds. */
const PATIENCE_MS: Millis = 20_000;

export interface ConfirmedRoutesParts {
  readonly status: () => WatchStatus;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/**
 * Waits for the next beat of the catalog's leader, which names its newest version.
 * @throws LeaderUnavailableError when none comes
 */
export async function confirmedRoutes({ status, clock, scheduler }: ConfirmedRoutesParts): Promise<number> {
  const askedMs = clock.monotonicMs();
  for (;;) {
    const { mode, version, lastBeat } = status();
    if (mode === 'local') return version;
    const waitedMs = clock.monotonicMs() - askedMs;
    if (lastBeat !== undefined && lastBeat.agoMs < waitedMs) return Math.max(version, lastBeat.version);
    if (waitedMs > PATIENCE_MS) throw new LeaderUnavailableError('nobody says which routes there are now');
    await sleep(scheduler, LOOK_MS);
  }
}
