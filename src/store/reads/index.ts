/**
 * Reads: newest versions, versions at a timestamp, pages, history, expiry.
 */

export { findExpired } from './expiry.ts';
export { HistoryExporter, versionAt } from './history.ts';
export { NewestRows } from './newest-rows.ts';
export { scanPage } from './page-scan.ts';
export type { KeyNotes } from './present-keys.ts';
export { hasManyUnnamed, type ReadView, readAt, readWhenNamed } from './reads.ts';
export { Scans } from './scans.ts';
