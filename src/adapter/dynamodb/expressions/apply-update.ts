/**
 * Updates of items. All values, and all indexes of lists, are those of the item before. What changes is copied along its path, all else is shared.
 */
import { type DynamoError, validationError } from '../errors/index.ts';
import {
  type AttributeValue,
  addNumbers,
  differenceOf,
  type Item,
  type SetValue,
  subtractNumbers,
  unionOf,
} from '../values/index.ts';
import { documentOf, type PathTree, partAt, treeOf, valueAt } from './paths.ts';
import { type DocumentPath, OPERAND_MISMATCH, type Update, type UpdateAction, type UpdateValue } from './tree.ts';

const INVALID_PATH = 'The document path provided in the update expression is invalid for update';
const NOT_THERE = 'The provided expression refers to an attribute that does not exist in the item';

/** What an update makes of an item. The changed paths are put together for whoever asks. */
export class UpdatedItem {
  /** Undefined when there was none and the update makes none. */
  readonly item: Item | undefined;
  private readonly before: Item | undefined;
  private readonly changes: PathTree<Change>;
  private readonly written: Written;

  constructor(item: Item | undefined, before: Item | undefined, changes: PathTree<Change>, written: Written) {
    this.item = item;
    this.before = before;
    this.changes = changes;
    this.written = written;
  }

  /** What the changed paths had before, as a document with nothing else. */
  get changedBefore(): Item {
    return this.before === undefined ? new Map() : partAt(this.before, this.changes);
  }

  /** What the changed paths have now, as a document with nothing else. */
  get changedAfter(): Item {
    return documentOf(treeOf(this.written));
  }
}

const mismatch = (text: string): DynamoError => validationError(text);

/** The value of SET, from the item before. */
function computed(value: UpdateValue, before: Item): AttributeValue {
  switch (value.kind) {
    case 'value':
      return value.value;
    case 'path': {
      const found = valueAt(value.path, before);
      if (found === undefined) throw validationError(NOT_THERE);
      return found;
    }
    case 'if_not_exists':
      return valueAt(value.path, before) ?? computed(value.otherwise, before);
    case 'list_append': {
      const left = computed(value.left, before);
      const right = computed(value.right, before);
      if (left.type !== 'L' || right.type !== 'L') throw mismatch(OPERAND_MISMATCH);
      return { type: 'L', value: [...left.value, ...right.value] };
    }
    case 'arithmetic': {
      const left = computed(value.left, before);
      const right = computed(value.right, before);
      if (left.type !== 'N' || right.type !== 'N') throw mismatch(OPERAND_MISMATCH);
      const compute = value.sign === '+' ? addNumbers : subtractNumbers;
      return { type: 'N', value: compute(left.value, right.value) };
    }
  }
}

function added(old: AttributeValue | undefined, value: AttributeValue, text: string): AttributeValue {
  if (old === undefined) return value;
  if (old.type !== value.type) throw mismatch(text);
  if (value.type === 'N') return { type: 'N', value: addNumbers((old as typeof value).value, value.value) };
  if (value.type === 'L') return { type: 'L', value: [...(old as typeof value).value, ...value.value] };
  return unionOf(old as SetValue, value as SetValue);
}

function deleted(old: AttributeValue | undefined, value: AttributeValue, text: string): AttributeValue | undefined {
  if (old === undefined) return undefined;
  if (old.type !== value.type) throw mismatch(text);
  return differenceOf(old as SetValue, value as SetValue);
}

/** What one action makes of what is at its path; undefined takes it away. */
type Change = (old: AttributeValue | undefined) => AttributeValue | undefined;

/** Values that paths have afterwards. */
type Written = [DocumentPath, AttributeValue][];

/** @returns the change of an action, which notes what it has written */
function changeOf(action: UpdateAction, before: Item, text: string, written: Written): Change {
  const noted = (value: AttributeValue | undefined): AttributeValue | undefined => {
    if (value !== undefined) written.push([action.path, value]);
    return value;
  };
  switch (action.kind) {
    case 'set': {
      const value = computed(action.value, before);
      return () => noted(value);
    }
    case 'remove':
      return () => undefined;
    case 'add':
      return (old) => noted(added(old, action.value, text));
    case 'delete':
      return (old) => noted(deleted(old, action.value, text));
  }
}

function changedValue(old: AttributeValue | undefined, tree: PathTree<Change>): AttributeValue | undefined {
  if (tree.found !== undefined) return tree.found(old);
  const [first] = tree.children.keys();
  if (typeof first === 'string') {
    if (old?.type !== 'M') throw validationError(INVALID_PATH);
    return { type: 'M', value: changedItem(old.value, tree) };
  }
  if (old?.type !== 'L') throw validationError(INVALID_PATH);
  return { type: 'L', value: changedList(old.value, tree) };
}

function changedItem(old: Item, tree: PathTree<Change>): Item {
  const item = new Map(old);
  for (const [name, below] of tree.children) {
    const value = changedValue(old.get(name as string), below);
    if (value === undefined) item.delete(name as string);
    else item.set(name as string, value);
  }
  return item;
}

/** What is set beyond the end goes behind it, in the order of the indexes. */
function changedList(old: readonly AttributeValue[], tree: PathTree<Change>): AttributeValue[] {
  const list: (AttributeValue | undefined)[] = [...old];
  const inOrder = [...tree.children].sort(([a], [b]) => (a as number) - (b as number));
  for (const [index, below] of inOrder) {
    const at = index as number;
    const value = changedValue(old[at], below);
    if (at < old.length) list[at] = value;
    else if (value !== undefined) list.push(value);
  }
  return list.filter((value) => value !== undefined);
}

/** True when an update makes an item where there is none: it does when it adds or sets something, or says nothing at all. */
const makesItems = ({ actions }: Update): boolean =>
  actions.length === 0 || actions.some(({ kind }) => kind === 'set' || kind === 'add');

/**
 * Does an update. The size of the item, its nesting and the types of its index keys are for the caller to check.
 * @param before undefined when there is no item
 * @param keys of the item, which it has when it is made
 * @throws DynamoError ValidationException: the item does not have what the update relies on
 */
export function applyUpdate(update: Update, before: Item | undefined, keys: Item): UpdatedItem {
  if (before === undefined && !makesItems(update)) return new UpdatedItem(undefined, undefined, treeOf([]), []);
  const base = before ?? keys;
  const written: Written = [];
  const changes = update.actions.map(
    (action) => [action.path, changeOf(action, base, update.mismatch, written)] as const,
  );
  const tree = treeOf(changes);
  return new UpdatedItem(changedItem(base, tree), before, tree, written);
}
