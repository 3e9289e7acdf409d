/**
 * Balancing: what a node counts and reports, and the rules that are asked where the catalog group is led.
 */

export { Balancer, type BalancerOptions, type BalancerTimes } from './balancer.ts';
export { LoadRecorder } from './load-recorder.ts';
export type { LoadedGroup } from './load-reporter.ts';
