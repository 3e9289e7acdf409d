/**
 * What is read when a store is opened.
 */

export { type LoadedStore, loadStore } from './load.ts';
