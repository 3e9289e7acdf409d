/** What concerns all rows of a body at once. */

export { checkBody, copyValue } from './whole-body.ts';
