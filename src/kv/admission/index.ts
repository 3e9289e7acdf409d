/** Whether writes are let in: see docs/design/storage-life-cycle.md. */
export { type HeldBackError, isHeldBack, KeyVersionPressureError, WriteBackpressureError } from './errors.ts';
export { GroupAdmission } from './group-admission.ts';
export { NodeAdmission, type NodeAdmissionOptions, type PressedGroup, type PressedMachine } from './node-admission.ts';
export {
  DEFAULT_PRESSURE_MARKS,
  judgePressure,
  type Pressure,
  type PressureLevel,
  type PressureMarks,
  type PressureSignals,
} from './pressure.ts';
