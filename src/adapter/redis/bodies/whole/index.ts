/** What concerns all rows of a body at once. */

export { type BodyShape, checkBody, copyValue, shapeOf } from './whole-body.ts';
