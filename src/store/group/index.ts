/**
 * A group's store put together from its parts.
 */

export { openGroupStore } from './open.ts';
