/** Names and values that a request gives to its expressions, and which of them were used. */
import { validationError } from '../errors/index.ts';
import {
  type AttributeValue,
  type JsonMap,
  MAX_NAME_BYTES,
  readValue,
  type WireAttributeValue,
} from '../values/index.ts';
import { isReservedWord } from './reserved-words.ts';
import type { NamePart, PathSyntax, ValueSyntax } from './syntax.ts';
import type { DocumentPath } from './tree.ts';

const MAX_REFERENCE_BYTES = 255;

const NAME_REFERENCE = /^#[A-Za-z0-9_]+$/;
const VALUE_REFERENCE = /^:[A-Za-z0-9_]+$/;

function checkKeys(member: string, keys: readonly string[], pattern: RegExp): void {
  if (keys.length === 0) throw validationError(`${member} must not be empty`);
  for (const key of keys)
    if (!pattern.test(key) || key.length > MAX_REFERENCE_BYTES)
      throw validationError(`${member} contains invalid key: Syntax error; key: "${key}"`);
}

/** See the top of the file. */
export class Scope {
  private readonly names = new Map<string, string>();
  private readonly values = new Map<string, AttributeValue>();
  private readonly unusedNames = new Set<string>();
  private readonly unusedValues = new Set<string>();

  /** @throws DynamoError ValidationException when a reference or what it stands for is wrong */
  constructor(names: JsonMap<string> | undefined, values: JsonMap<WireAttributeValue> | undefined) {
    if (names !== undefined) {
      const keys = Object.keys(names);
      checkKeys('ExpressionAttributeNames', keys, NAME_REFERENCE);
      for (const key of keys) {
        this.names.set(key, checkedName(key, names[key]!));
        this.unusedNames.add(key);
      }
    }
    if (values === undefined) return;
    const keys = Object.keys(values);
    checkKeys('ExpressionAttributeValues', keys, VALUE_REFERENCE);
    for (const key of keys) {
      this.values.set(key, checkedValue(key, values[key]!));
      this.unusedValues.add(key);
    }
  }

  /**
   * What the parts of a path stand for.
   * @returns undefined when a name is not defined: see `undefinedName`
   */
  path(syntax: PathSyntax): DocumentPath | undefined {
    const path: (string | number)[] = [];
    for (const part of syntax.parts) {
      if (typeof part === 'number') path.push(part);
      else if (!part.isReference) path.push(part.name);
      else {
        const name = this.names.get(part.name);
        if (name === undefined) return undefined;
        this.unusedNames.delete(part.name);
        path.push(name);
      }
    }
    return path;
  }

  /** @returns undefined when the value is not defined */
  value({ reference }: ValueSyntax): AttributeValue | undefined {
    this.unusedValues.delete(reference);
    return this.values.get(reference);
  }

  /** What is wrong with a path whose names are not all defined. */
  undefinedName(syntax: PathSyntax): string {
    const isUndefined = (part: NamePart | number): part is NamePart =>
      typeof part !== 'number' && part.isReference && !this.names.has(part.name);
    const { name } = syntax.parts.find(isUndefined)!;
    return `An expression attribute name used in the document path is not defined; attribute name: ${name}`;
  }

  /** Refuses what no expression of the request has used. */
  end(): void {
    checkUsed('ExpressionAttributeNames', this.unusedNames);
    checkUsed('ExpressionAttributeValues', this.unusedValues);
  }
}

function checkedName(key: string, name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= MAX_NAME_BYTES && name.isWellFormed()) return name;
  const problem =
    bytes === 0
      ? 'Empty attribute name'
      : bytes > MAX_NAME_BYTES
        ? 'Attribute name is too large, must be less than 65536 bytes'
        : 'Strings must be well-formed Unicode';
  throw validationError(`ExpressionAttributeNames contains invalid value: ${problem} for key ${key}`);
}

function checkedValue(key: string, wire: WireAttributeValue): AttributeValue {
  try {
    return readValue(wire);
  } catch (error) {
    const problem = (error as Error).message;
    throw validationError(`ExpressionAttributeValues contains invalid value: ${problem} for key ${key}`);
  }
}

function checkUsed(member: string, unused: ReadonlySet<string>): void {
  if (unused.size > 0)
    throw validationError(`Value provided in ${member} unused in expressions: keys: {${[...unused].join(', ')}}`);
}

/** The text about a value that is not defined. */
export const undefinedValue = ({ reference }: ValueSyntax): string =>
  `An expression attribute value used in expression is not defined; attribute value: ${reference}`;

/** The text about a bare name that is a reserved word, when the path has one. */
export function reservedIn({ parts }: PathSyntax): string | undefined {
  for (const part of parts)
    if (typeof part !== 'number' && !part.isReference && isReservedWord(part.name))
      return `Attribute name is a reserved keyword; reserved keyword: ${part.name}`;
  return undefined;
}
