/**
 * What a node keeps about the commands of its clients for those who watch over it: commands that took long, spikes of latency, how long calls take, who
 * looks on. All of it is in memory, bounded, and this node's alone. Knows neither commands nor connections.
 */

export { type LatencyEvent, LatencyEvents, type LatencySample, type LatencySeries } from './latency-events.ts';
export { LatencyHistogram } from './latency-histogram.ts';
export { type MonitoringClient, Monitors } from './monitors.ts';
export { Rates } from './rates.ts';
export { quoted, withoutSecrets } from './shown-command.ts';
export { type SlowEntry, SlowLog } from './slow-log.ts';
export { sparkline } from './sparkline.ts';
