/**
 * Conditions, updates and projections as bytes between nodes. Chains of AND and OR are lists, however long: their depth is that of what is in
 * parentheses.
 *
 *   condition  := kind u8, by kind: count, conditions | condition | comparator u8, operands | operands | count, operands | path | operand, type u8
 *   operand    := kind u8, path | value | operand
 *   update     := text of a mismatch, count, actions
 *   action     := kind u8, path, [update value | value]
 *   projection := count, paths
 *   path       := count, (0, name | 1, index)*
 *
 * Lengths and counts are varints. Places in the lists of names are on the wire: only ever append.
 */
import type { ByteWriter } from '../../../platform/index.ts';
import type {
  Comparator,
  Condition,
  DocumentPath,
  Operand,
  Projection,
  Update,
  UpdateAction,
  UpdateValue,
} from '../expressions/index.ts';
import { ATTRIBUTE_TYPES, type ValueReader, writeText, writeValue, writeVarint } from '../rows/index.ts';

const CONDITIONS = [
  'and',
  'or',
  'not',
  'compare',
  'between',
  'in',
  'exists',
  'attribute_type',
  'begins_with',
  'contains',
] as const satisfies readonly Condition['kind'][];
const COMPARATORS = ['=', '<>', '<', '<=', '>', '>='] as const satisfies readonly Comparator[];
const OPERANDS = ['path', 'value', 'size'] as const satisfies readonly Operand['kind'][];
const ACTIONS = ['set', 'remove', 'add', 'delete'] as const satisfies readonly UpdateAction['kind'][];
const VALUES = [
  'path',
  'value',
  'if_not_exists',
  'list_append',
  'arithmetic',
] as const satisfies readonly UpdateValue['kind'][];
const SIGNS = ['+', '-'] as const;
/** Parts of paths. */
const NAME = 0;
const INDEX = 1;
/** Expressions have at most 300 operators, so none was written with more. */
const MAX_DEPTH = 1_000;

function writePath(writer: ByteWriter, path: DocumentPath): void {
  writeVarint(writer, path.length);
  for (const part of path) {
    if (typeof part === 'number') {
      writer.u8(INDEX);
      writeVarint(writer, part);
    } else {
      writer.u8(NAME);
      writeText(writer, part);
    }
  }
}

function readPath(reader: ValueReader): DocumentPath {
  return reader.many(() => (reader.flag() ? reader.varint() : reader.name()));
}

function writeOperand(writer: ByteWriter, operand: Operand): void {
  writer.u8(OPERANDS.indexOf(operand.kind));
  if (operand.kind === 'path') writePath(writer, operand.path);
  else if (operand.kind === 'value') writeValue(writer, operand.value);
  else writeOperand(writer, operand.of);
}

function readOperand(reader: ValueReader, depth = 0): Operand {
  checkDepth(reader, depth);
  const kind = reader.oneOf(OPERANDS);
  switch (kind) {
    case 'path':
      return { kind, path: readPath(reader) };
    case 'value':
      return { kind, value: reader.value() };
    case 'size':
      return { kind, of: readOperand(reader, depth + 1) };
  }
}

function checkDepth(reader: ValueReader, depth: number): void {
  if (depth > MAX_DEPTH) throw reader.corrupt('has too many levels');
}

/** The members of a chain of one kind, in order: it grows to the left. */
function membersOf(kind: 'and' | 'or', chain: Condition): Condition[] {
  const members: Condition[] = [];
  let node = chain;
  for (; node.kind === kind; node = node.left) members.push(node.right);
  members.push(node);
  return members.reverse();
}

/** Appends a condition. */
export function writeCondition(writer: ByteWriter, condition: Condition): void {
  writer.u8(CONDITIONS.indexOf(condition.kind));
  switch (condition.kind) {
    case 'and':
    case 'or': {
      const members = membersOf(condition.kind, condition);
      writeVarint(writer, members.length);
      for (const member of members) writeCondition(writer, member);
      return;
    }
    case 'not':
      writeCondition(writer, condition.condition);
      return;
    case 'compare':
      writer.u8(COMPARATORS.indexOf(condition.comparator));
      writeOperand(writer, condition.left);
      writeOperand(writer, condition.right);
      return;
    case 'between':
      writeOperand(writer, condition.operand);
      writeOperand(writer, condition.low);
      writeOperand(writer, condition.high);
      return;
    case 'in':
      writeOperand(writer, condition.operand);
      writeVarint(writer, condition.members.length);
      for (const member of condition.members) writeOperand(writer, member);
      return;
    case 'exists':
      writePath(writer, condition.path);
      return;
    case 'attribute_type':
      writeOperand(writer, condition.operand);
      writer.u8(ATTRIBUTE_TYPES.indexOf(condition.type));
      return;
    case 'begins_with':
    case 'contains':
      writeOperand(writer, condition.operand);
      writeOperand(writer, condition.part);
      return;
  }
}

/** @throws CorruptRowError */
export function readCondition(reader: ValueReader, depth = 0): Condition {
  checkDepth(reader, depth);
  const kind = reader.oneOf(CONDITIONS);
  switch (kind) {
    case 'and':
    case 'or': {
      const members = reader.many(() => readCondition(reader, depth + 1));
      if (members.length === 0) throw reader.corrupt('has an empty chain');
      return members.reduce((left, right) => ({ kind, left, right }));
    }
    case 'not':
      return { kind, condition: readCondition(reader, depth + 1) };
    case 'compare': {
      const comparator = reader.oneOf(COMPARATORS);
      return { kind, comparator, left: readOperand(reader), right: readOperand(reader) };
    }
    case 'between':
      return { kind, operand: readOperand(reader), low: readOperand(reader), high: readOperand(reader) };
    case 'in':
      return { kind, operand: readOperand(reader), members: reader.many(() => readOperand(reader)) };
    case 'exists':
      return { kind, path: readPath(reader) };
    case 'attribute_type':
      return { kind, operand: readOperand(reader), type: reader.oneOf(ATTRIBUTE_TYPES) };
    case 'begins_with':
    case 'contains':
      return { kind, operand: readOperand(reader), part: readOperand(reader) };
  }
}

function writeUpdateValue(writer: ByteWriter, value: UpdateValue): void {
  writer.u8(VALUES.indexOf(value.kind));
  switch (value.kind) {
    case 'path':
      writePath(writer, value.path);
      return;
    case 'value':
      writeValue(writer, value.value);
      return;
    case 'if_not_exists':
      writePath(writer, value.path);
      writeUpdateValue(writer, value.otherwise);
      return;
    case 'list_append':
      writeUpdateValue(writer, value.left);
      writeUpdateValue(writer, value.right);
      return;
    case 'arithmetic':
      writer.u8(SIGNS.indexOf(value.sign));
      writeUpdateValue(writer, value.left);
      writeUpdateValue(writer, value.right);
      return;
  }
}

function readUpdateValue(reader: ValueReader, depth: number): UpdateValue {
  checkDepth(reader, depth);
  const kind = reader.oneOf(VALUES);
  const next = (): UpdateValue => readUpdateValue(reader, depth + 1);
  switch (kind) {
    case 'path':
      return { kind, path: readPath(reader) };
    case 'value':
      return { kind, value: reader.value() };
    case 'if_not_exists':
      return { kind, path: readPath(reader), otherwise: next() };
    case 'list_append':
      return { kind, left: next(), right: next() };
    case 'arithmetic': {
      const sign = reader.oneOf(SIGNS);
      return { kind, sign, left: next(), right: next() };
    }
  }
}

/** Appends an update. */
export function writeUpdate(writer: ByteWriter, { actions, mismatch }: Update): void {
  writeText(writer, mismatch);
  writeVarint(writer, actions.length);
  for (const action of actions) {
    writer.u8(ACTIONS.indexOf(action.kind));
    writePath(writer, action.path);
    if (action.kind === 'set') writeUpdateValue(writer, action.value);
    else if (action.kind !== 'remove') writeValue(writer, action.value);
  }
}

/** @throws CorruptRowError */
export function readUpdate(reader: ValueReader): Update {
  const mismatch = reader.name();
  const actions = reader.many((): UpdateAction => {
    const kind = reader.oneOf(ACTIONS);
    const path = readPath(reader);
    switch (kind) {
      case 'set':
        return { kind, path, value: readUpdateValue(reader, 0) };
      case 'remove':
        return { kind, path };
      case 'add':
      case 'delete':
        return { kind, path, value: reader.value() };
    }
  });
  return { actions, mismatch };
}

/** Appends a projection. */
export function writeProjection(writer: ByteWriter, { paths }: Projection): void {
  writeVarint(writer, paths.length);
  for (const path of paths) writePath(writer, path);
}

/** @throws CorruptRowError */
export const readProjection = (reader: ValueReader): Projection => ({ paths: reader.many(() => readPath(reader)) });
