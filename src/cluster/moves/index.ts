/**
 * Drives a range from one group to another, phase by phase; every question can be repeated by the next leader of the catalog.
 */

export { DEFAULT_MOVE_LIMITS, MoveDriver, type MoveLimits } from './driver.ts';
