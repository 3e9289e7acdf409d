/**
 * What conditions and updates mean, said a second time and as plainly as possible, over values as JSON has them: nothing of the adapter is used. With it,
 * generators of conditions and updates that write them as text, with blanks, case and parentheses as they come.
 */
import { Decimal } from 'decimal.js';
import fc from 'fast-check';

export type Wire = { readonly [type: string]: unknown };
export type WireDocument = { readonly [name: string]: Wire };
export type Path = readonly (string | number)[];

export type Term = { readonly path: Path } | { readonly constant: Wire } | { readonly sizeOf: Path };
export type Test =
  | { readonly and: readonly [Test, Test] }
  | { readonly or: readonly [Test, Test] }
  | { readonly not: Test }
  | { readonly compare: string; readonly terms: readonly [Term, Term] }
  | { readonly between: readonly [Term, Term, Term] }
  | { readonly in: readonly Term[] }
  | { readonly exists: Path; readonly isThere: boolean }
  | { readonly typeOf: Path; readonly type: string }
  | { readonly call: 'begins_with' | 'contains'; readonly terms: readonly [Term, Term] };

const typeOf = (value: Wire): string => Object.keys(value)[0]!;
const contentOf = (value: Wire): never => value[typeOf(value)] as never;

export function lookUp(path: Path, item: WireDocument): Wire | undefined {
  let value: Wire | undefined = { M: item };
  for (const part of path) {
    if (value === undefined) return undefined;
    const container: unknown = typeof part === 'number' ? value.L : value.M;
    const has = container !== undefined && Object.hasOwn(container as object, part);
    value = has ? (container as Record<string | number, Wire>)[part] : undefined;
  }
  return value;
}

/** One text for all equal values. */
function normal(value: Wire): string {
  const type = typeOf(value);
  const content: unknown = contentOf(value);
  const of = (element: unknown): string => JSON.stringify(element);
  if (type === 'N') return `N${new Decimal(content as string).toFixed()}`;
  if (type === 'NS')
    return `NS${(content as string[])
      .map((n) => new Decimal(n).toFixed())
      .sort()
      .map(of)}`;
  if (type === 'SS' || type === 'BS') return type + [...(content as string[])].sort().map(of);
  if (type === 'L') return `L[${(content as Wire[]).map(normal)}]`;
  if (type === 'M') {
    const map = content as WireDocument;
    return `M{${Object.keys(map)
      .sort()
      .map((name) => `${of(name)}:${normal(map[name]!)}`)}}`;
  }
  return type + of(content);
}

const isEqual = (a: Wire | undefined, b: Wire | undefined): boolean =>
  a !== undefined && b !== undefined && normal(a) === normal(b);

function order(a: Wire | undefined, b: Wire | undefined): number | undefined {
  if (a === undefined || b === undefined || typeOf(a) !== typeOf(b)) return undefined;
  if (a.N !== undefined) return new Decimal(a.N as string).comparedTo(b.N as string);
  if (a.S !== undefined) return Buffer.compare(Buffer.from(a.S as string), Buffer.from(b.S as string));
  if (a.B === undefined) return undefined;
  return Buffer.compare(Buffer.from(a.B as string, 'base64'), Buffer.from(b.B as string, 'base64'));
}

function size(value: Wire | undefined): Wire | undefined {
  if (value === undefined || ['N', 'BOOL', 'NULL'].includes(typeOf(value))) return undefined;
  const content: unknown = contentOf(value);
  if (value.B !== undefined) return { N: String(Buffer.from(content as string, 'base64').length) };
  return { N: String(value.M === undefined ? (content as string).length : Object.keys(content as object).length) };
}

function resolve(term: Term, item: WireDocument): Wire | undefined {
  if ('path' in term) return lookUp(term.path, item);
  return 'constant' in term ? term.constant : size(lookUp(term.sizeOf, item));
}

function compare(comparator: string, a: Wire | undefined, b: Wire | undefined): boolean {
  if (comparator === '=') return isEqual(a, b);
  if (comparator === '<>') return !isEqual(a, b);
  const found = order(a, b);
  if (found === undefined) return false;
  return { '<': found < 0, '<=': found <= 0, '>': found > 0, '>=': found >= 0 }[comparator]!;
}

const textOf = (value: Wire): string =>
  (value.S as string) ?? Buffer.from(value.B as string, 'base64').toString('latin1');

function call(name: 'begins_with' | 'contains', value: Wire | undefined, part: Wire | undefined): boolean {
  if (value === undefined || part === undefined) return false;
  const isText = (value.S !== undefined && part.S !== undefined) || (value.B !== undefined && part.B !== undefined);
  if (name === 'begins_with') return isText && textOf(value).indexOf(textOf(part)) === 0;
  if (isText) return textOf(value).indexOf(textOf(part)) >= 0;
  for (const type of ['S', 'N', 'B']) {
    const members = value[`${type}S`] as unknown[] | undefined;
    if (members !== undefined) return members.some((member) => isEqual({ [type]: member }, part));
  }
  return value.L !== undefined && (value.L as Wire[]).some((element) => isEqual(element, part));
}

/** Whether an item passes. */
export function holds(test: Test, item: WireDocument): boolean {
  if ('and' in test) return holds(test.and[0], item) && holds(test.and[1], item);
  if ('or' in test) return holds(test.or[0], item) || holds(test.or[1], item);
  if ('not' in test) return !holds(test.not, item);
  if ('compare' in test) return compare(test.compare, resolve(test.terms[0], item), resolve(test.terms[1], item));
  if ('between' in test) {
    const [value, low, high] = test.between.map((term) => resolve(term, item));
    return compare('>=', value, low) && compare('<=', value, high);
  }
  if ('in' in test) {
    const [value, ...members] = test.in.map((term) => resolve(term, item));
    return members.some((member) => isEqual(value, member));
  }
  if ('exists' in test) return (lookUp(test.exists, item) !== undefined) === test.isThere;
  if ('typeOf' in test) {
    const value = lookUp(test.typeOf, item);
    return value !== undefined && typeOf(value) === test.type;
  }
  return call(test.call, resolve(test.terms[0], item), resolve(test.terms[1], item));
}

/** Writes terms and tests, and collects what they refer to. */
export class ExpressionWriter {
  readonly names: Record<string, string> = {};
  readonly values: Record<string, Wire> = {};
  private count = 0;

  path(path: Path): string {
    return path
      .map((part, at) => {
        if (typeof part === 'number') return `[${part}]`;
        const name = `#n${this.count++}`;
        this.names[name] = part;
        return at === 0 ? name : ` . ${name}`;
      })
      .join('');
  }

  constant(value: Wire): string {
    const name = `:v${this.count++}`;
    this.values[name] = value;
    return name;
  }

  term(term: Term): string {
    if ('path' in term) return this.count % 3 === 0 ? `(${this.path(term.path)})` : this.path(term.path);
    return 'constant' in term ? this.constant(term.constant) : `size ( ${this.path(term.sizeOf)} )`;
  }

  /** @param strength of the connective around it: 3 is NOT, 2 is AND, 1 is OR, 0 is none */
  test(test: Test, strength = 0): string {
    const within = (own: number, text: string): string => (own < strength ? `(${text})` : text);
    if ('and' in test) return within(2, `${this.test(test.and[0], 2)} and\t${this.test(test.and[1], 2)}`);
    if ('or' in test) return within(1, `${this.test(test.or[0], 1)} OR ${this.test(test.or[1], 1)}`);
    if ('not' in test) return `NOT ${this.test(test.not, 3)}`;
    if ('compare' in test) return `${this.term(test.terms[0])}${test.compare}${this.term(test.terms[1])}`;
    if ('between' in test) {
      const [value, low, high] = test.between.map((term) => this.term(term));
      return `${value} Between ${low} AND ${high}`;
    }
    if ('in' in test) {
      const [value, ...members] = test.in.map((term) => this.term(term));
      return `${value} IN(${members.join(' , ')})`;
    }
    if ('exists' in test) return `attribute_${test.isThere ? '' : 'not_'}exists(${this.path(test.exists)})`;
    if ('typeOf' in test) return `attribute_type(${this.path(test.typeOf)}, ${this.constant({ S: test.type })})`;
    return `${test.call}(${this.term(test.terms[0])},${this.term(test.terms[1])})`;
  }
}

const NAMES = ['a', 'b', 'size', '__proto__', 'x y'];
const TYPES = ['S', 'N', 'B', 'BOOL', 'NULL', 'L', 'M', 'SS', 'NS', 'BS'];

const scalars: fc.Arbitrary<Wire> = fc.oneof(
  fc.constantFrom('', 'a', 'ab', 'b', '\uffff', '😀').map((S) => ({ S })),
  fc.constantFrom('0', '1', '1.0', '-1', '2', '1e1', '0.5').map((N) => ({ N })),
  fc.constantFrom('', 'YQ==', 'YWI=', 'AA==').map((B) => ({ B })),
);

export const wires: fc.Arbitrary<Wire> = fc.letrec<{ value: Wire }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2, depthSize: 'medium' },
    scalars,
    fc.boolean().map((BOOL) => ({ BOOL })),
    fc.constant({ NULL: true }),
    fc.uniqueArray(fc.constantFrom('a', 'b', 'ab'), { minLength: 1 }).map((SS) => ({ SS })),
    fc.uniqueArray(fc.constantFrom('1', '2', '10'), { minLength: 1 }).map((NS) => ({ NS })),
    fc.uniqueArray(fc.constantFrom('YQ==', 'AA=='), { minLength: 1 }).map((BS) => ({ BS })),
    fc.array(tie('value'), { maxLength: 3 }).map((L) => ({ L })),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 3 }).map((M) => ({ M })),
  ),
})).value;

export const documents: fc.Arbitrary<WireDocument> = fc.dictionary(fc.constantFrom(...NAMES), wires, { maxKeys: 4 });

export const paths: fc.Arbitrary<Path> = fc
  .tuple(fc.constantFrom(...NAMES), fc.array(fc.oneof(fc.constantFrom(...NAMES), fc.nat(3)), { maxLength: 2 }))
  .map(([first, rest]) => [first, ...rest]);

const isSame = (a: Path, b: Path): boolean => JSON.stringify(a) === JSON.stringify(b);
const ofPath = paths.map((path): Term => ({ path }));
const terms = (constants: fc.Arbitrary<Wire>): fc.Arbitrary<Term> =>
  fc.oneof(
    ofPath,
    constants.map((constant) => ({ constant })),
    paths.map((sizeOf) => ({ sizeOf })),
  );

/** Pairs that no check refuses: not one path twice. */
const pairs = (first: fc.Arbitrary<Term>, second: fc.Arbitrary<Term>): fc.Arbitrary<[Term, Term]> =>
  fc.tuple(first, second).filter(([a, b]) => !('path' in a && 'path' in b && isSame(a.path, b.path)));

const texts = scalars.filter((value) => value.N === undefined).map((constant): Term => ({ constant }));

export const tests: fc.Arbitrary<Test> = fc.letrec<{ test: Test }>((tie) => ({
  test: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.record({ compare: fc.constantFrom('=', '<>'), terms: pairs(terms(wires), terms(wires)) }),
    fc.record({ compare: fc.constantFrom('<', '<=', '>', '>='), terms: pairs(terms(scalars), terms(scalars)) }),
    fc.record({ between: fc.tuple(ofPath, terms(scalars), ofPath) }),
    fc.record({ in: fc.array(terms(wires), { minLength: 2, maxLength: 4 }) }),
    fc.record({ exists: paths, isThere: fc.boolean() }),
    fc.record({ typeOf: paths, type: fc.constantFrom(...TYPES) }),
    fc.record({ call: fc.constant('begins_with' as const), terms: pairs(ofPath, fc.oneof(ofPath, texts)) }),
    fc.record({ call: fc.constant('contains' as const), terms: pairs(ofPath, terms(wires)) }),
    fc.record({ and: fc.tuple(tie('test'), tie('test')) }),
    fc.record({ or: fc.tuple(tie('test'), tie('test')) }),
    fc.record({ not: tie('test') }),
  ),
})).test as fc.Arbitrary<Test>;
