/** Hashes and sets: elements that are found by name. */

export { HashBody, newHash, openHash } from './hash-body.ts';
export { LargeNames } from './large-names.ts';
export { type ElementExpiry, type NamedEntry, type NameScan, NO_EXPIRY } from './named-form.ts';
export { NamedItems } from './named-items.ts';
export { newSet, openSet, SetBody } from './set-body.ts';
export { alarmOfNames, checkPackedNames, walkNames } from './walk-names.ts';
