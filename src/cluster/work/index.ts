/**
 * Work of the whole cluster that one node does at a time, under a lease that the catalog remembers.
 */

export { FeatureActivator } from './feature-activator.ts';
export { forwardingPointerWork } from './forwarding-pointers.ts';
export { type AttendResult, type WorkContext, WorkRunner, type WorkTimes, type WorkUnit } from './runner.ts';
