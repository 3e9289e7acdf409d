/**
 * The directory as a persistent B-tree: a lookup is a walk down, a change makes a new root and leaves old versions whole.
 */

export { Place } from './btree.ts';
export { LeafNode } from './btree-node.ts';
export { RouteEngine } from './route-engine.ts';
export { RouteTable, RouteTableLoader } from './route-table.ts';
