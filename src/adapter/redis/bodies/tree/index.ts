/** Sequences of any length in pages that are found by their numbers: lists, and the order of sorted sets. */

export { CountedTree } from './counted-tree.ts';
export { PageStore } from './page-store.ts';
export { emptyTreeHead, TreeBody } from './tree-body.ts';
export { decodeTreeState, emptyTree, encodeTreeState, type TreeState } from './tree-state.ts';
export { type WalkedPage, walkTree } from './walk-tree.ts';
