/**
 * Which writes are let in: a node near the end of its memory or its disk, or a store that is behind, holds them back before they
 * are evaluated.
 */

export { isHeldBack, KeyVersionPressureError, WriteBackpressureError } from './errors.ts';
export { GroupAdmission } from './group-admission.ts';
export { NodeAdmission, type NodeAdmissionOptions, type PressedMachine } from './node-admission.ts';
