/**
 * From JSON to the tree of a request: every member has the type that the model says, members that it does not know and those that are null are left
 * out. The tree is the parsed JSON itself, changed where it has to be. Texts are the service's.
 */
import { type DynamoError, serializationError, validationError } from '../errors/index.ts';
import type { ListShape, MapShape, NumberShape, Shape, StructureShape } from '../model/index.ts';
import type { WireAttributeValue } from '../values/index.ts';

/** Far beyond what an item may have, and far from the end of the stack. */
const MAX_VALUE_DEPTH = 200;
const TOO_DEEP =
  'Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit';

const PACKAGE = 'com.amazonaws.dynamodb.v20120810.';
const STRUCTURE_START = 'Start of structure or map found where not expected';
const LIST_START = 'Start of list found where not expected';
const UNEXPECTED_FIELD = 'Unexpected field type';
const UNEXPECTED_VALUE = 'Unexpected value type in payload';
const NO_CLASS =
  'class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class ' +
  '(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of ' +
  "loader 'bootstrap')";

type Tree = Record<string, unknown>;

const isList = (value: unknown): value is unknown[] => Array.isArray(value);
const isStructure = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !isList(value);

/**
 * @param tree as `JSON.parse` made it; it belongs to this function from now on
 * @throws DynamoError SerializationException
 */
export function typedTree(shape: StructureShape, tree: unknown): object {
  if (isList(tree)) throw serializationError(LIST_START);
  if (!isStructure(tree)) throw serializationError(tree === null ? '' : UNEXPECTED_VALUE);
  return structureOf(shape, tree);
}

/** @param isElement of a list or map: the service tells it from a member of a structure */
function typed(shape: Shape, value: unknown, isElement: boolean): unknown {
  switch (shape.kind) {
    case 'string':
      return stringOf(value);
    case 'Integer':
    case 'Long':
    case 'Double':
      return numberOf(shape.kind, value);
    case 'boolean':
      return booleanOf(value);
    case 'attribute':
      return attributeOf(value, isElement, 0);
    case 'opaque':
      return value;
    case 'list':
      return listOf(shape, value, isElement);
    case 'map':
      return mapOf(shape, value, isElement);
    case 'structure':
      if (isStructure(value)) return structureOf(shape, value);
      throw noStructure(shape.name, value, isElement);
  }
}

function noStructure(name: string, value: unknown, isElement: boolean): DynamoError {
  if (isList(value)) return serializationError(`Unrecognized collection type class ${PACKAGE}${name}`);
  return serializationError(isElement ? UNEXPECTED_VALUE : UNEXPECTED_FIELD);
}

function structureOf({ members, byName }: StructureShape, tree: Tree): object {
  let isClean = true;
  for (const name in tree) if (tree[name] === null || !byName.has(name)) isClean = false;
  const made: Tree = isClean ? tree : {};
  for (const { name, shape } of members) {
    // A name of the model is never one that all objects have.
    const value = tree[name];
    if (value !== undefined && value !== null) made[name] = typed(shape, value, false);
  }
  return made;
}

function listOf({ element }: ListShape, value: unknown, isElement: boolean): unknown[] {
  if (!isList(value)) throw noCollection(value, isElement, STRUCTURE_START);
  for (let at = 0; at < value.length; at++) value[at] = typed(element, emptied(element, value[at]), true);
  return value;
}

function mapOf(shape: MapShape, value: unknown, isElement: boolean): Tree {
  if (!isStructure(value)) {
    throw noCollection(value, isElement, `Unrecognized collection type ${javaName(shape)}`);
  }
  for (const name of Object.keys(value)) value[name] = typed(shape.value, emptied(shape.value, value[name]), true);
  return value;
}

/** @param otherCollection what is said when a list stands for a map, or a map for a list */
function noCollection(value: unknown, isElement: boolean, otherCollection: string): DynamoError {
  if (typeof value === 'object') return serializationError(otherCollection);
  return serializationError(isElement ? NO_CLASS : UNEXPECTED_FIELD);
}

/** Null in a list or map is something without members, which the checks of constraints and values know words for. */
function emptied(shape: Shape, value: unknown): unknown {
  if (value !== null) return value;
  switch (shape.kind) {
    case 'attribute':
    case 'structure':
    case 'map':
      return {};
    case 'list':
      return [];
    default:
      throw serializationError(UNEXPECTED_FIELD);
  }
}

/** How Java calls the type of a collection. */
function javaName(shape: Shape): string {
  switch (shape.kind) {
    case 'string':
      return 'java.lang.String';
    case 'list':
      return `java.util.List<${javaName(shape.element)}>`;
    case 'map':
      return `java.util.Map<java.lang.String, ${javaName(shape.value)}>`;
    case 'structure':
      return PACKAGE + shape.name;
    case 'attribute':
      return `${PACKAGE}AttributeValue`;
    default:
      return `java.lang.${shape.kind}`;
  }
}

const numberWord = (value: number): string => (Number.isInteger(value) ? 'NUMBER_VALUE' : 'DECIMAL_VALUE');
const booleanWord = (value: boolean): string => (value ? 'TRUE_VALUE' : 'FALSE_VALUE');

/** A collection where a single value of a Java type belongs. */
const notSingle = (value: unknown, type: string): DynamoError =>
  serializationError(isList(value) ? `Unrecognized collection type class ${type}` : STRUCTURE_START);

function stringOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') throw serializationError(`${numberWord(value)} cannot be converted to String`);
  if (typeof value === 'boolean') throw serializationError(`${booleanWord(value)} cannot be converted to String`);
  throw notSingle(value, 'java.lang.String');
}

const BOUNDS: Readonly<Record<NumberShape['kind'], number>> = {
  Integer: 2 ** 31,
  Long: 2 ** 63,
  Double: Number.POSITIVE_INFINITY,
};

function numberOf(type: NumberShape['kind'], value: unknown): number {
  if (typeof value === 'number') {
    const whole = type === 'Double' ? value : Math.floor(value);
    if (whole >= -BOUNDS[type] && whole < BOUNDS[type]) return whole;
    throw serializationError(`NUMBER_VALUE cannot be converted to ${type}`);
  }
  if (typeof value === 'boolean') throw serializationError(`${booleanWord(value)} cannot be converted to ${type}`);
  if (typeof value === 'string') throw serializationError(`STRING_VALUE cannot be converted to ${type}`);
  throw notSingle(value, `java.lang.${type}`);
}

const BOOLEAN_WORDS: ReadonlyMap<string, boolean> = new Map([
  ['TRUE', true],
  ['1', true],
  ['YES', true],
  ['FALSE', false],
  ['0', false],
  ['NO', false],
]);

function booleanOf(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') throw serializationError(`${numberWord(value)} cannot be converted to Boolean`);
  if (typeof value !== 'string') throw notSingle(value, 'java.lang.Boolean');
  const meant = BOOLEAN_WORDS.get(value.toUpperCase());
  if (meant === undefined) throw serializationError('Unexpected token received from parser');
  return meant;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function blobOf(value: unknown): string {
  if (typeof value === 'string') {
    if (value.length % 4 !== 0) {
      throw serializationError(`Base64 encoded length is expected a multiple of 4 bytes but found: ${value.length}`);
    }
    // The last letter may have bits that belong to no byte: they have to be zero.
    const isRight = BASE64.test(value) && Buffer.from(value.slice(-4), 'base64').toString('base64') === value.slice(-4);
    if (!isRight) throw serializationError('Invalid last non-pad Base64 character dectected');
    return value;
  }
  if (typeof value === 'object') throw notSingle(value, 'java.nio.ByteBuffer');
  throw serializationError('only base-64-encoded strings are convertible to bytes');
}

const VALUE_TYPES: ReadonlySet<string> = new Set(['S', 'N', 'B', 'BOOL', 'NULL', 'SS', 'NS', 'BS', 'L', 'M']);

function attributeOf(value: unknown, isElement: boolean, depth: number): WireAttributeValue {
  if (!isStructure(value)) throw noStructure('AttributeValue', value, isElement);
  if (depth > MAX_VALUE_DEPTH) throw validationError(TOO_DEEP);
  let made = value;
  for (const type in value) {
    if (value[type] !== null && VALUE_TYPES.has(type)) continue;
    made = Object.fromEntries(Object.entries(value).filter(([name, one]) => one !== null && VALUE_TYPES.has(name)));
    break;
  }
  for (const type in made) made[type] = contentOf(type as keyof WireAttributeValue, made[type], depth);
  return made;
}

function contentOf(type: keyof WireAttributeValue, value: unknown, depth: number): unknown {
  switch (type) {
    case 'S':
    case 'N':
      return stringOf(value);
    case 'B':
      return blobOf(value);
    case 'BOOL':
    case 'NULL':
      return booleanOf(value);
    case 'SS':
    case 'NS':
      return setOf(type, value, stringOf);
    case 'BS':
      return setOf(type, value, blobOf);
    case 'L':
      if (!isList(value)) throw noCollection(value, false, STRUCTURE_START);
      for (let at = 0; at < value.length; at++) value[at] = attributeOf(value[at] ?? {}, true, depth + 1);
      return value;
    case 'M':
      if (!isStructure(value)) {
        throw noCollection(
          value,
          false,
          `Unrecognized collection type java.util.Map<java.lang.String, ${PACKAGE}AttributeValue>`,
        );
      }
      for (const name of Object.keys(value)) value[name] = attributeOf(value[name] ?? {}, true, depth + 1);
      return value;
  }
}

const SET_NAMES = { SS: 'string', NS: 'number', BS: 'binary' } as const;

function setOf(type: keyof typeof SET_NAMES, value: unknown, of: (member: unknown) => string): string[] {
  if (!isList(value)) throw noCollection(value, false, STRUCTURE_START);
  return value.map((member) => {
    if (member !== null) return of(member);
    throw validationError(
      `One or more parameter values were invalid: An ${SET_NAMES[type]} set may not have a null ${SET_NAMES[type]} as a member`,
    );
  });
}
