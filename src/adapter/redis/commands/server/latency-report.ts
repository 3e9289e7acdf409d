/** What LATENCY DOCTOR says: the figures of each event, and what may be done about it here. */
import type { ServerContext } from '../../command/index.ts';
import type { LatencySeries } from '../../telemetry/index.ts';

/** What may be done about an event. */
const ADVICE: Readonly<Record<string, readonly string[]>> = {
  command: [
    'Look at SLOWLOG GET on the nodes that clients are connected to: it names the commands.',
    'Commands over whole large collections are slow by nature: read them in parts (HSCAN, SSCAN, ZSCAN, LRANGE).',
    'Scripts hold up the node while they run: let them do less at a time.',
  ],
  'fast-command': [
    'Commands that are fast by nature took long: the machine or the collector of garbage held up the process. See the delay of the event loop ' +
      'in the metrics, and CPU steal of a virtual machine.',
  ],
  'aof-fsync-always': [
    'Writes of the log took long to be stable on disk. Give the log a disk of its own, and see whether others write to this one.',
  ],
};

/** @returns lines of text */
export function latencyReport({ watch, config }: ServerContext): string {
  const events = [...watch.latency.all()];
  if (config.latencyThresholdMs === 0 && events.length === 0) {
    return 'Spikes of latency are not recorded. CONFIG SET latency-monitor-threshold <milliseconds> begins to record what takes as long.\n';
  }
  if (events.length === 0) return `Nothing has taken ${config.latencyThresholdMs} ms since this is recorded.\n`;
  const lines = events.map(([event, series], at) => `${at + 1}. ${event}: ${figures(series)}`);
  const advice = events.flatMap(([event]) => ADVICE[event] ?? []).map((line) => `- ${line}`);
  const slowlog = slowLogAdvice(config.slowlogSlowerThanMicros, config.latencyThresholdMs);
  return [`Spikes of latency on this node:`, '', ...lines, '', 'What may help:', '', ...slowlog, ...advice, ''].join(
    '\n',
  );
}

function figures({ samples, longestMs }: LatencySeries): string {
  const values = samples.map(({ tookMs }) => tookMs);
  const average = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = values.reduce((sum, value) => sum + Math.abs(value - average), 0) / values.length;
  const spanSeconds = samples.at(-1)!.atSeconds - samples[0]!.atSeconds;
  const period = samples.length > 1 ? `, one every ${(spanSeconds / (samples.length - 1)).toFixed(1)} s` : '';
  const usual = `average ${average.toFixed(0)} ms, mean deviation ${deviation.toFixed(0)} ms`;
  return `${samples.length} recorded (${usual}${period}), the longest ever ${longestMs} ms`;
}

/** The slow log should name what the events only count. */
function slowLogAdvice(slowerThanMicros: number, thresholdMs: number): string[] {
  if (slowerThanMicros < 0) return ['- The slow log is off: CONFIG SET slowlog-log-slower-than <microseconds>.'];
  if (thresholdMs === 0 || slowerThanMicros <= thresholdMs * 1000) return [];
  return [`- The slow log misses some of it: CONFIG SET slowlog-log-slower-than ${thresholdMs * 1000}.`];
}
