/**
 * Copies of a store: cut, export, import, swap.
 */

export { StoreCopies } from './copies.ts';
export { digestStore } from './export.ts';
export { StoreSwap } from './swap.ts';
