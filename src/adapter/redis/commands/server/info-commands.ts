/**
 * INFO's sections about commands and errors. Times of `commandstats` are those of evaluations on this node, as in Redis without any waiting; the leader of a
 * key evaluates, and the node of the client counts the call, so that only the sums over all nodes belong together. Percentiles are from the reading of a
 * command to the writing of its reply: what clients see, without the network.
 */
import type { ServerContext } from '../../command/index.ts';
import type { InfoField } from './info-format.ts';

const MICROS_PER_MS = 1_000;

/** A line for each command that was called or refused. */
export function commandStats({ table }: ServerContext): InfoField[] {
  const rows: InfoField[] = [];
  for (const { fullName, counters } of table.callable()) {
    const { calls, errors, rejected, executedMs } = counters;
    if (calls === 0 && rejected === 0 && executedMs === 0) continue;
    const usec = Math.round(executedMs * MICROS_PER_MS);
    const each = (calls === 0 ? 0 : usec / calls).toFixed(2);
    const outcomes = `rejected_calls=${rejected},failed_calls=${errors}`;
    rows.push([`cmdstat_${fullName}`, `calls=${calls},usec=${usec},usec_per_call=${each},${outcomes}`]);
  }
  return rows;
}

/** Percentiles of each command that was called. */
export function latencyStats({ table, config }: ServerContext): InfoField[] {
  if (!config.latencyTracking) return [];
  const rows: InfoField[] = [];
  for (const { fullName, counters } of table.callable()) {
    const { histogram } = counters;
    if (histogram === undefined) continue;
    const percentiles = config.latencyPercentiles.map(
      (percent) => `p${percent}=${histogram.percentileMicros(percent).toFixed(3)}`,
    );
    rows.push([`latency_percentiles_usec_${fullName}`, percentiles.join(',')]);
  }
  return rows;
}

/** How many errors began with a word. */
export const errorStats = ({ stats }: ServerContext): InfoField[] =>
  [...stats.errorsByPrefix].map(([prefix, count]) => [`errorstat_${prefix}`, `count=${count}`]);
