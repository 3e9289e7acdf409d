/**
 * Large objects, whose rows lie behind a head row: which of their rows no read can come to any more.
 */

export { BodyReach } from './reach.ts';
