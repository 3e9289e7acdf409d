/** What concerns all rows of a body at once. */

export { alarmWork } from './alarm.ts';
export { type BodyShape, checkBody, copyValue, shapeOf } from './whole-body.ts';
