/**
 * A persistent (copy-on-write) B+tree from byte keys to records of a fixed width. `set` and `delete` return a new tree
 * that shares all untouched nodes with the old one, so a version costs the few nodes on the paths that changed, readers
 * of old trees are never disturbed, and publishing is one assignment.
 *
 * A lookup fills a caller-owned `Place` instead of allocating.
 */
import { assert } from '../../platform/index.ts';
import { halve, InnerNode, LeafNode, MIN_ENTRIES, rebalance, type TreeNode } from './btree-node.ts';
import { KeySlab } from './key-slab.ts';

/** Bulk loading leaves room for a quarter more, so that the first splits do not split every leaf. */
const LOADED_ENTRIES = 48;
const NO_RECORD: Buffer = Buffer.alloc(0);
const EMPTY_LEAF = new LeafNode(KeySlab.empty, NO_RECORD);

/** Where a search ended: an entry, and the key after it. Reused from search to search. */
export class Place {
  leaf: LeafNode = EMPTY_LEAF;
  index = -1;
  /** The node that names the entry's successor, when that is in another leaf. */
  private nextKeys: KeySlab | undefined;
  private nextIndex = 0;

  /** Moves to the entry that a search ended at. */
  settle(leaf: LeafNode, index: number, nextKeys: KeySlab | undefined, nextIndex: number): void {
    this.leaf = leaf;
    this.index = index;
    this.nextKeys = nextKeys;
    this.nextIndex = nextIndex;
  }

  /** The entry's key: a view. */
  key(): Buffer {
    return this.leaf.keys.key(this.index);
  }

  /** The smallest key above the entry's: a view; undefined after the last entry. */
  nextKey(): Buffer | undefined {
    if (this.index + 1 < this.leaf.keys.count) return this.leaf.keys.key(this.index + 1);
    return this.nextKeys?.key(this.nextIndex);
  }
}

/** See the top of the file. Immutable. */
export class BTree {
  /** Bytes of every record. */
  readonly width: number;
  readonly size: number;
  /** Inner levels above the leaves. */
  readonly height: number;
  private readonly root: TreeNode;

  private constructor(width: number, size: number, height: number, root: TreeNode) {
    this.width = width;
    this.size = size;
    this.height = height;
    this.root = root;
  }

  static empty(width: number): BTree {
    return new BTree(width, 0, 0, EMPTY_LEAF);
  }

  /** A tree over finished leaves, for the loader. */
  static overLeaves(width: number, size: number, leaves: readonly LeafNode[]): BTree {
    let level: TreeNode[] = leaves.slice();
    let height = 0;
    while (level.length > 1) {
      // Spread evenly: an inner node with one child would have no neighbour to be joined with.
      const count = Math.ceil(level.length / LOADED_ENTRIES);
      const parents: TreeNode[] = [];
      for (let index = 0; index < count; index++) {
        const from = Math.floor((index * level.length) / count);
        parents.push(InnerNode.of(level.slice(from, Math.floor(((index + 1) * level.length) / count))));
      }
      level = parents;
      height++;
    }
    return new BTree(width, size, height, level[0] ?? EMPTY_LEAF);
  }

  /**
   * Finds the greatest entry at or below `key` (below it when `isStrict`).
   * @returns false when there is none; `place` is then unchanged
   */
  floor(key: Buffer, place: Place, isStrict = false): boolean {
    let node = this.root;
    let nextKeys: KeySlab | undefined;
    let nextIndex = 0;
    for (let level = this.height; level > 0; level--) {
      const index = node.keys.floor(key, isStrict);
      if (index < 0) return false;
      if (index + 1 < node.keys.count) {
        nextKeys = node.keys;
        nextIndex = index + 1;
      }
      node = (node as InnerNode).children[index]!;
    }
    const index = node.keys.floor(key, isStrict);
    if (index < 0) return false;
    place.settle(node as LeafNode, index, nextKeys, nextIndex);
    return true;
  }

  /** Finds exactly `key`. */
  find(key: Buffer, place: Place): boolean {
    return this.floor(key, place) && place.leaf.keys.compare(place.index, key) === 0;
  }

  /** Entries from the greatest at or below `from` on (from the first when there is none), in key order. */
  *walk(from: Buffer): Generator<{ readonly leaf: LeafNode; readonly index: number }> {
    const path: { readonly node: InnerNode; index: number }[] = [];
    let node = this.root;
    for (let level = this.height; level > 0; level--) {
      const index = Math.max(0, node.keys.floor(from, false));
      path.push({ node: node as InnerNode, index });
      node = (node as InnerNode).children[index]!;
    }
    let leaf = node as LeafNode;
    let index = Math.max(0, leaf.keys.floor(from, false));
    while (true) {
      for (; index < leaf.keys.count; index++) yield { leaf, index };
      while (path.length > 0 && path.at(-1)!.index + 1 >= path.at(-1)!.node.children.length) path.pop();
      const turn = path.at(-1);
      if (turn === undefined) return;
      turn.index++;
      let below: TreeNode = turn.node.children[turn.index]!;
      while (below instanceof InnerNode) {
        path.push({ node: below, index: 0 });
        below = below.children[0]!;
      }
      leaf = below;
      index = 0;
    }
  }

  /** A tree in which `key` has `record`. Both are copied. */
  set(key: Buffer, record: Buffer = NO_RECORD): BTree {
    assert(record.length === this.width, 'a record has the width of its tree');
    const edit = { grew: 0 };
    const nodes = this.setBelow(this.root, this.height, key, record, edit);
    const root = nodes.length === 1 ? nodes[0]! : InnerNode.of(nodes);
    return new BTree(this.width, this.size + edit.grew, this.height + nodes.length - 1, root);
  }

  private setBelow(node: TreeNode, level: number, key: Buffer, record: Buffer, edit: { grew: number }): TreeNode[] {
    const index = node.keys.floor(key, false);
    if (level === 0) {
      const leaf = node as LeafNode;
      const isThere = index >= 0 && leaf.keys.compare(index, key) === 0;
      if (!isThere) edit.grew = 1;
      return halve(leaf.splice(isThere ? index : index + 1, isThere ? 1 : 0, key, record, this.width), this.width);
    }
    const inner = node as InnerNode;
    const at = Math.max(0, index);
    return halve(inner.splice(at, 1, this.setBelow(inner.children[at]!, level - 1, key, record, edit)), this.width);
  }

  /** A tree without `key`; this tree when it is not there. */
  delete(key: Buffer): BTree {
    let root = this.deleteBelow(this.root, this.height, key);
    if (root === this.root) return this;
    let height = this.height;
    while (root instanceof InnerNode && root.children.length === 1) {
      root = root.children[0]!;
      height--;
    }
    return new BTree(this.width, this.size - 1, height, root);
  }

  private deleteBelow(node: TreeNode, level: number, key: Buffer): TreeNode {
    const index = node.keys.floor(key, false);
    if (index < 0) return node;
    if (level === 0) {
      const leaf = node as LeafNode;
      return leaf.keys.compare(index, key) === 0 ? leaf.splice(index, 1, undefined, NO_RECORD, this.width) : leaf;
    }
    const inner = node as InnerNode;
    const child = inner.children[index]!;
    const replaced = this.deleteBelow(child, level - 1, key);
    if (replaced === child) return inner;
    if (replaced.keys.count >= MIN_ENTRIES || inner.children.length === 1) {
      return inner.splice(index, 1, [replaced]);
    }
    const isLast = index + 1 === inner.children.length;
    return isLast
      ? inner.splice(index - 1, 2, rebalance(inner.children[index - 1]!, replaced, this.width))
      : inner.splice(index, 2, rebalance(replaced, inner.children[index + 1]!, this.width));
  }
}

/** Builds a tree in O(n) from entries that come in ascending key order. */
export class BTreeLoader {
  private readonly width: number;
  private readonly leaves: LeafNode[] = [];
  private keys: Buffer[] = [];
  private records: Buffer;
  private size = 0;

  constructor(width: number) {
    this.width = width;
    this.records = Buffer.allocUnsafe(LOADED_ENTRIES * width);
  }

  /** Adds the next entry; both arguments are copied before the next leaf begins, so they must not change before. */
  add(key: Buffer, record: Buffer = NO_RECORD): void {
    record.copy(this.records, this.keys.length * this.width, 0, this.width);
    this.keys.push(key);
    this.size++;
    if (this.keys.length === LOADED_ENTRIES) this.cut();
  }

  private cut(): void {
    const records = Buffer.allocUnsafeSlow(this.keys.length * this.width);
    this.records.copy(records, 0, 0, records.length);
    this.leaves.push(new LeafNode(KeySlab.of(this.keys), records));
    this.keys = [];
  }

  /** The tree over everything that was added. */
  finish(): BTree {
    if (this.keys.length > 0) this.cut();
    return BTree.overLeaves(this.width, this.size, this.leaves);
  }
}
