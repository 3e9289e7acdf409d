/** Work that the cluster does once and not on every node, and the switching on of features. */
export { FeatureActivator, type FeatureActivatorOptions } from './feature-activator.ts';
export {
  type AttendResult,
  DEFAULT_WORK_TIMES,
  type WorkContext,
  WorkRunner,
  type WorkRunnerOptions,
  type WorkTimes,
  type WorkUnit,
} from './runner.ts';
export { type SignpostsOptions, signpostWork } from './signposts.ts';
