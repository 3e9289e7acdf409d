/** The constraints of the model: what has to be there, lengths, ranges, patterns, enumerations. All complaints are told together. */
import { validationError } from '../errors/index.ts';
import type { MapShape, Member, NumberShape, Shape, StringShape, StructureShape } from '../model/index.ts';
import { shownValue } from './shown-value.ts';
import { MAX_COMPLAINTS, CONSTRAINT_TEXTS as TEXTS } from './texts.ts';

/** What is said about a table's name in operations on tables. */
const TABLE_NAME_LENGTH = { min: 3, max: 255 };
const ARN = /^arn:/;

type Tree = Readonly<Record<string, unknown>>;

/**
 * @param tree has the types of the shape
 * @throws DynamoError ValidationException
 */
export function checkConstraints(shape: StructureShape, tree: object): void {
  checkNameOfTable(shape, tree as Tree);
  const complaints = new Complaints();
  complaints.ofStructure(shape, tree as Tree, '');
  if (complaints.found.length > 0) throw validationError(TEXTS.complaints(complaints.found));
}

/** Operations on tables speak of the name before everything else, and of nothing else then. */
function checkNameOfTable({ members }: StructureShape, tree: Tree): void {
  for (const { name, shape, isRequired } of members) {
    if (shape.kind !== 'string' || shape.table !== 'control') continue;
    const value = tree[name] as string | undefined;
    if (value === undefined) {
      if (isRequired) throw validationError(TEXTS.tableMissing(name));
    } else if (!ARN.test(value) && !isWithin(value.length, TABLE_NAME_LENGTH)) {
      throw validationError(TEXTS.tableLength(name));
    }
  }
}

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

const isWithin = (size: number, { min, max }: Bounds): boolean =>
  (min === undefined || size >= min) && (max === undefined || size <= max);

class Complaints {
  readonly found: string[] = [];

  ofStructure({ members }: StructureShape, tree: Tree, parent: string): void {
    for (const member of members) {
      if (this.found.length >= MAX_COMPLAINTS) return;
      this.ofMember(member, tree[member.name], parent === '' ? member.pathName : `${parent}.${member.pathName}`);
    }
  }

  private ofMember({ shape, isRequired }: Member, value: unknown, path: string): void {
    if (value !== undefined) this.of(shape, value, path);
    else if (isRequired) this.complain(shape, undefined, path, TEXTS.isNull);
  }

  private of(shape: Shape, value: unknown, path: string): void {
    switch (shape.kind) {
      case 'string':
        this.ofString(shape, value as string, path);
        return;
      case 'Integer':
      case 'Long':
      case 'Double':
        this.ofNumber(shape, value as number, path);
        return;
      case 'list':
        this.ofList(shape.element, value as readonly unknown[], path, shape);
        return;
      case 'map':
        this.ofMap(shape, value as Tree, path);
        return;
      case 'structure':
        this.ofStructure(shape, value as Tree, path);
        return;
      case 'boolean':
      case 'attribute':
      case 'opaque':
        return;
    }
  }

  private ofString(shape: StringShape, value: string, path: string): void {
    for (const constraint of brokenBy(shape, value)) this.complain(shape, value, path, constraint);
  }

  private ofNumber(shape: NumberShape, value: number, path: string): void {
    const { min, max } = shape;
    if (min !== undefined && value < min) this.complain(shape, value, path, TEXTS.minValue(min));
    if (max !== undefined && value > max) this.complain(shape, value, path, TEXTS.maxValue(max));
  }

  private ofList(element: Shape, values: readonly unknown[], path: string, shape: Shape & Bounds): void {
    this.ofLength(shape, values, values.length, path);
    if (element.kind === 'attribute' || element.kind === 'opaque') return;
    for (let at = 0; at < values.length && this.found.length < MAX_COMPLAINTS; at++) {
      this.of(element, values[at], `${path}.${at + 1}.member`);
    }
  }

  private ofMap(shape: MapShape, values: Tree, path: string): void {
    const names = Object.keys(values);
    this.ofLength(shape, values, names.length, path);
    const { key, value: inner } = shape;
    if (key !== undefined) {
      for (const name of names) {
        if (brokenBy(key, name).length > 0) this.complain(shape, values, path, TEXTS.keys(constraintsOf(key)));
      }
    }
    if (inner.kind === 'attribute') return;
    for (const name of names) {
      if (this.found.length >= MAX_COMPLAINTS) return;
      const value = values[name];
      // The length of a list in a map is complained of at the map.
      if (inner.kind === 'list') {
        if (!isWithin((value as readonly unknown[]).length, inner)) {
          this.complain(shape, values, path, TEXTS.values(constraintsOf(inner)));
        }
        this.ofList(inner.element, value as readonly unknown[], `${path}.${name}.member`, {
          ...inner,
          min: 0,
          max: Number.POSITIVE_INFINITY,
        });
      } else {
        this.of(inner, value, `${path}.${name}.member`);
      }
    }
  }

  private ofLength(shape: Shape & Bounds, value: unknown, length: number, path: string): void {
    const { min, max } = shape;
    if (min !== undefined && length < min) this.complain(shape, value, path, TEXTS.minLength(min));
    if (max !== undefined && length > max) this.complain(shape, value, path, TEXTS.maxLength(max));
  }

  private complain(shape: Shape, value: unknown, path: string, constraint: string): void {
    if (this.found.length >= MAX_COMPLAINTS) return;
    this.found.push(TEXTS.complaint(value === undefined ? null : shownValue(shape, value), path, constraint));
  }
}

function brokenBy({ min, max, pattern, matcher, words, table }: StringShape, value: string): string[] {
  const broken: string[] = [];
  if (words !== undefined && !words.includes(value)) broken.push(TEXTS.words(words));
  const isArn = table !== undefined && ARN.test(value);
  if (matcher !== undefined && !isArn && !matcher.test(value)) broken.push(TEXTS.pattern(pattern!));
  if (min !== undefined && value.length < min) broken.push(TEXTS.minLength(min));
  if (max !== undefined && value.length > max) broken.push(TEXTS.maxLength(max));
  return broken;
}

/** Constraints of what is in a map, in the order in which the service prints them. */
function constraintsOf({ min, max, pattern }: Bounds & { readonly pattern?: string }): string[] {
  return [
    ...(max === undefined ? [] : [TEXTS.maxLength(max)]),
    ...(min === undefined ? [] : [TEXTS.minLength(min)]),
    ...(pattern === undefined ? [] : [TEXTS.pattern(pattern)]),
  ];
}
