/**
 * Nodes of the persistent B+tree. They never change: an edit makes new nodes along one path and shares all others.
 *
 * A leaf holds keys and one record of a fixed width per key. An inner node holds its children and the exact smallest key
 * below each of them. Exact, not just a separator, because the end of a route is the start of the next one, which
 * may be the first key of another subtree.
 */
import { assert } from '../../platform/index.ts';
import { KeySlab } from './key-slab.ts';

/** Most entries of a leaf and most children of an inner node. */
export const MAX_ENTRIES = 64;
/** A node with fewer is joined with a neighbour, so that deletes do not leave a tree of crumbs. */
export const MIN_ENTRIES = 16;

export type TreeNode = LeafNode | InnerNode;

/** Keys and their records. */
export class LeafNode {
  readonly keys: KeySlab;
  /** `keys.count` records of the tree's width, one after the other. */
  readonly records: Buffer;

  constructor(keys: KeySlab, records: Buffer) {
    this.keys = keys;
    this.records = records;
  }

  /** Copy with `removed` entries from `at` on replaced by at most one. */
  splice(at: number, removed: number, key: Buffer | undefined, record: Buffer, width: number): LeafNode {
    const keys = this.keys.splice(at, removed, key === undefined ? [] : [key]);
    const records = Buffer.allocUnsafeSlow(keys.count * width);
    this.records.copy(records, 0, 0, at * width);
    let offset = at * width;
    if (key !== undefined) {
      record.copy(records, offset, 0, width);
      offset += width;
    }
    this.records.copy(records, offset, (at + removed) * width);
    return new LeafNode(keys, records);
  }

  slice(from: number, to: number, width: number): LeafNode {
    const records = Buffer.allocUnsafeSlow((to - from) * width);
    this.records.copy(records, 0, from * width, to * width);
    return new LeafNode(this.keys.slice(from, to), records);
  }

  concat(next: LeafNode): LeafNode {
    const records = Buffer.allocUnsafeSlow(this.records.length + next.records.length);
    this.records.copy(records, 0);
    next.records.copy(records, this.records.length);
    return new LeafNode(this.keys.concat(next.keys), records);
  }
}

/** Children, and the smallest key below each. */
export class InnerNode {
  readonly keys: KeySlab;
  readonly children: readonly TreeNode[];

  constructor(keys: KeySlab, children: readonly TreeNode[]) {
    this.keys = keys;
    this.children = children;
  }

  static of(children: readonly TreeNode[]): InnerNode {
    return new InnerNode(KeySlab.of(children.map(smallestKey)), children);
  }

  /** Copy with `removed` children from `at` on replaced. */
  splice(at: number, removed: number, inserted: readonly TreeNode[]): InnerNode {
    const children = this.children.slice();
    children.splice(at, removed, ...inserted);
    return new InnerNode(this.keys.splice(at, removed, inserted.map(smallestKey)), children);
  }

  slice(from: number, to: number): InnerNode {
    return new InnerNode(this.keys.slice(from, to), this.children.slice(from, to));
  }

  concat(next: InnerNode): InnerNode {
    return new InnerNode(this.keys.concat(next.keys), [...this.children, ...next.children]);
  }
}

/** The first key below a node. */
export const smallestKey = (node: TreeNode): Buffer => node.keys.key(0);

/** One node, or two halves of it when it has become too large. */
export function halve(node: TreeNode, width: number): TreeNode[] {
  const count = node.keys.count;
  if (count <= MAX_ENTRIES) return [node];
  const middle = count >>> 1;
  return node instanceof LeafNode
    ? [node.slice(0, middle, width), node.slice(middle, count, width)]
    : [node.slice(0, middle), node.slice(middle, count)];
}

/** Two neighbours of one level as one node, or as two of about the same size. */
export function rebalance(left: TreeNode, right: TreeNode, width: number): TreeNode[] {
  if (left instanceof LeafNode) {
    assert(right instanceof LeafNode, 'neighbours are on one level');
    return halve(left.concat(right), width);
  }
  assert(right instanceof InnerNode, 'neighbours are on one level');
  return halve(left.concat(right), width);
}
