/**
 * Attribute values as JSON has them, and the checks of their contents. That the JSON has the shape of the service's model, with base64 that is
 * base64, was checked before.
 */
import { validationError } from '../errors/index.ts';
import type { AttributeType, AttributeValue, Item, SetValue } from './attribute.ts';
import { canonicalNumber } from './decimal.ts';
import { orderedSet } from './sets.ts';
import { MAX_NESTING } from './sizes.ts';
import type { WireAttributeValue, WireItem } from './wire-values.ts';

export const MAX_NAME_BYTES = 65_535;

const PREFIX = 'One or more parameter values were invalid: ';
const EMPTY = 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes';
const SEVERAL =
  'Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes';
const NESTED =
  'Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit';

const TYPES: readonly AttributeType[] = ['S', 'N', 'B', 'BOOL', 'NULL', 'SS', 'NS', 'BS', 'L', 'M'];

/**
 * @param level of lists and maps around it
 * @throws DynamoError ValidationException with the service's text
 */
export function readValue(wire: WireAttributeValue, level = 0): AttributeValue {
  let found: AttributeType | undefined;
  let isOne = true;
  for (const type of TYPES) {
    if (wire[type] === undefined) continue;
    if (found === undefined) found = type;
    else isOne = false;
  }
  if (found === undefined) throw validationError(EMPTY);
  const value = readTyped(wire, found, level);
  // What is wrong with the first of several is said before that there are several.
  if (!isOne) throw validationError(SEVERAL);
  return value;
}

function readTyped(wire: WireAttributeValue, type: AttributeType, level: number): AttributeValue {
  switch (type) {
    case 'S':
      return { type, value: wellFormed(wire.S!) };
    case 'N':
      return { type, value: canonicalNumber(wire.N!) };
    case 'B':
      return { type, value: Buffer.from(wire.B!, 'base64') };
    case 'BOOL':
      return { type, value: wire.BOOL! };
    case 'NULL':
      if (!wire.NULL) throw validationError(`${PREFIX}Null attribute value types must have the value of true`);
      return { type };
    case 'SS':
      return readSet('SS', wire.SS!, wire.SS!.map(wellFormed));
    case 'NS':
      return readSet('NS', wire.NS!, wire.NS!.map(canonicalNumber));
    case 'BS':
      return readSet(
        'BS',
        wire.BS!,
        wire.BS!.map((text) => Buffer.from(text, 'base64')),
      );
    case 'L':
      return { type, value: wire.L!.map((element) => readValue(element, below(level))) };
    case 'M':
      return { type, value: readItem(wire.M!, below(level)) };
  }
}

function below(level: number): number {
  if (level >= MAX_NESTING) throw validationError(NESTED);
  return level + 1;
}

function wellFormed(text: string): string {
  if (!text.isWellFormed()) throw validationError(`${PREFIX}Strings must be well-formed Unicode`);
  return text;
}

const EMPTY_SETS: Readonly<Record<SetValue['type'], string>> = {
  SS: 'An string set  may not be empty',
  NS: 'An number set  may not be empty',
  BS: 'Binary sets should not be empty',
};

function readSet(type: SetValue['type'], texts: readonly string[], members: readonly (string | Buffer)[]): SetValue {
  if (members.length === 0) throw validationError(PREFIX + EMPTY_SETS[type]);
  const set = orderedSet(type, members);
  if (set !== undefined) return set;
  if (type === 'NS') throw validationError('Input collection contains duplicates');
  const shown = `[${texts.join(', ')}]`;
  throw validationError(
    `${PREFIX}Input collection ${shown}${type === 'BS' ? 'of type BS contains' : ' contains'} duplicates.`,
  );
}

/**
 * Reads attributes by their names: an item, a key or a map.
 * @throws DynamoError ValidationException with the service's text
 */
export function readItem(wire: WireItem, level = 0): Item {
  const item = new Map<string, AttributeValue>();
  for (const name of Object.keys(wire)) {
    if (level === 0 && (name === '' || Buffer.byteLength(name) > MAX_NAME_BYTES))
      throw validationError(
        `${PREFIX}${name === '' ? 'Empty attribute name' : 'Attribute name is too large, must be less than 65536 bytes'}`,
      );
    item.set(wellFormed(name), readValue(wire[name]!, level));
  }
  return item;
}

/** The value as JSON has it. */
export function wireValue(value: AttributeValue): WireAttributeValue {
  switch (value.type) {
    case 'S':
      return { S: value.value };
    case 'N':
      return { N: value.value };
    case 'B':
      return { B: value.value.toString('base64') };
    case 'BOOL':
      return { BOOL: value.value };
    case 'NULL':
      return { NULL: true };
    case 'SS':
      return { SS: value.value };
    case 'NS':
      return { NS: value.value };
    case 'BS':
      return { BS: value.value.map((member) => member.toString('base64')) };
    case 'L':
      return { L: value.value.map(wireValue) };
    case 'M':
      return { M: wireItem(value.value) };
  }
}

/** Attributes as JSON has them, with a null prototype: any name may be a member. */
export function wireItem(item: Item): WireItem {
  const wire: Record<string, WireAttributeValue> = Object.create(null);
  for (const [name, value] of item) wire[name] = wireValue(value);
  return wire;
}
