/** Paths into items: what lies at one, what two have to do with each other, and documents of what lies at several. */
import { validationError } from '../errors/index.ts';
import type { AttributeValue, Item } from '../values/index.ts';
import type { DocumentPath } from './tree.ts';

/** As the service shows paths: `[a, [1], b]`. */
export const shownPath = (path: DocumentPath): string =>
  `[${path.map((part) => (typeof part === 'number' ? `[${part}]` : part)).join(', ')}]`;

/** @returns undefined when nothing is there */
export function valueAt(path: DocumentPath, item: Item): AttributeValue | undefined {
  let value = item.get(path[0] as string);
  for (let at = 1; at < path.length && value !== undefined; at++) {
    const part = path[at]!;
    if (typeof part === 'number') value = value.type === 'L' ? value.value[part] : undefined;
    else value = value.type === 'M' ? value.value.get(part) : undefined;
  }
  return value;
}

/**
 * Paths by their parts, something at each of their ends. Children of one node are all names or all indexes, and what has something has no
 * children: other paths overlap or conflict.
 */
export interface PathTree<Found> {
  readonly found: Found | undefined;
  readonly children: Map<string | number, PathTree<Found>>;
}

interface MutableTree<Found> {
  path: DocumentPath;
  found: Found | undefined;
  readonly children: Map<string | number, MutableTree<Found>>;
}

/** How one of several paths cannot be beside another one. */
export interface PathQuarrel {
  readonly kind: 'overlap' | 'conflict';
  readonly text: string;
}

function quarrel(kind: PathQuarrel['kind'], one: DocumentPath, two: DocumentPath): PathQuarrel {
  return {
    kind,
    text:
      `Two document paths ${kind} with each other; must remove or rewrite one of these paths; ` +
      `path one: ${shownPath(one)}, path two: ${shownPath(two)}`,
  };
}

/** Grows path by path, in time that depends on their lengths alone. */
export class PathTreeBuilder<Found> {
  private readonly root: MutableTree<Found> = { path: [], found: undefined, children: new Map() };

  /**
   * Adds a path.
   * @returns what is wrong with it beside an earlier one; nobody may use the tree then
   */
  add(path: DocumentPath, found: Found): PathQuarrel | undefined {
    let node = this.root;
    let conflict: PathQuarrel | undefined;
    for (let at = 0; at < path.length; at++) {
      const part = path[at]!;
      if (node.found !== undefined) return quarrel('overlap', node.path, path);
      const [first] = node.children.keys();
      if (first !== undefined && typeof first !== typeof part) conflict ??= quarrel('conflict', firstBelow(node), path);
      let child = node.children.get(part);
      if (child === undefined) {
        child = { path, found: undefined, children: new Map() };
        node.children.set(part, child);
      }
      node = child;
    }
    if (node.found !== undefined) return quarrel('overlap', node.path, path);
    if (node.children.size > 0) return quarrel('overlap', firstBelow(node), path);
    node.found = found;
    node.path = path;
    return conflict;
  }

  get tree(): PathTree<Found> {
    return this.root;
  }
}

/** Of the paths through a node the one that was there first. */
function firstBelow<Found>(node: MutableTree<Found>): DocumentPath {
  let below = node;
  while (below.found === undefined)
    [below] = below.children.values() as Iterable<MutableTree<Found>> as [MutableTree<Found>];
  return below.path;
}

/**
 * A tree of paths.
 * @throws DynamoError ValidationException when two overlap or conflict
 */
export function treeOf<Found>(entries: Iterable<readonly [DocumentPath, Found]>): PathTree<Found> {
  const builder = new PathTreeBuilder<Found>();
  for (const [path, found] of entries) {
    const wrong = builder.add(path, found);
    if (wrong !== undefined) throw validationError(wrong.text);
  }
  return builder.tree;
}

/** The part of a value that a tree of paths reaches: maps with what is asked of them, lists closed up. Undefined when nothing is there. */
function partOf(value: AttributeValue, tree: PathTree<unknown>): AttributeValue | undefined {
  if (tree.found !== undefined) return value;
  const [first] = tree.children.keys();
  if (typeof first === 'string') {
    if (value.type !== 'M') return undefined;
    const part = partOfItem(value.value, tree);
    return part.size === 0 ? undefined : { type: 'M', value: part };
  }
  if (value.type !== 'L') return undefined;
  const parts: AttributeValue[] = [];
  for (const index of [...(tree.children.keys() as Iterable<number>)].sort((a, b) => a - b)) {
    const element = value.value[index];
    const part = element === undefined ? undefined : partOf(element, tree.children.get(index)!);
    if (part !== undefined) parts.push(part);
  }
  return parts.length === 0 ? undefined : { type: 'L', value: parts };
}

function partOfItem(item: Item, tree: PathTree<unknown>): Map<string, AttributeValue> {
  const part = new Map<string, AttributeValue>();
  for (const [name, below] of tree.children) {
    const value = item.get(name as string);
    const found = value === undefined ? undefined : partOf(value, below);
    if (found !== undefined) part.set(name as string, found);
  }
  return part;
}

/** What an item has at some paths, as a document with nothing else. */
export const partAt = (item: Item, tree: PathTree<unknown>): Item => partOfItem(item, tree);

/** The document that has the values of a tree at their paths and nothing else, lists closed up. */
export function documentOf(tree: PathTree<AttributeValue>): Item {
  const item = new Map<string, AttributeValue>();
  for (const [name, below] of tree.children) item.set(name as string, valueIn(below));
  return item;
}

function valueIn(tree: PathTree<AttributeValue>): AttributeValue {
  if (tree.found !== undefined) return tree.found;
  const [first] = tree.children.keys();
  if (typeof first === 'string') return { type: 'M', value: documentOf(tree) };
  const inOrder = [...tree.children].sort(([a], [b]) => (a as number) - (b as number));
  return { type: 'L', value: inOrder.map(([, below]) => valueIn(below)) };
}
