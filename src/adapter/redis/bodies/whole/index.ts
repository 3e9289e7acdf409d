/** What concerns all rows of a body at once. */

export { checkBody, copyBody } from './whole-body.ts';
