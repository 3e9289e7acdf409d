/**
 * What the API's model says of a request: which members there are, of which types, and the constraints of each. The model is data; the codec reads
 * the types, the checks the constraints, the documentation the names.
 *
 * Members are listed in the order in which the service complains about them, and the words of enumerations in the order in which it prints them,
 * where that is known.
 */

export interface StringShape {
  readonly kind: 'string';
  /** Characters, as UTF-16 counts them. */
  readonly min?: number;
  readonly max?: number;
  /** As the service prints it. */
  readonly pattern?: string;
  /** All of the text has to match; made of `pattern`. */
  readonly matcher?: RegExp;
  readonly words?: readonly string[];
  /**
   * The name of a table or its ARN, which the pattern says nothing about. `control`: operations on tables have a text of their own for its length.
   */
  readonly table?: 'data' | 'control';
}

export interface NumberShape {
  /** How Java calls it. */
  readonly kind: 'Integer' | 'Long' | 'Double';
  readonly min?: number;
  readonly max?: number;
}

export interface BooleanShape {
  readonly kind: 'boolean';
}

/** An attribute value, which may have others inside. */
export interface AttributeShape {
  readonly kind: 'attribute';
}

/** Something that is only asked whether it is there. */
export interface OpaqueShape {
  readonly kind: 'opaque';
}

export interface ListShape {
  readonly kind: 'list';
  readonly element: Shape;
  readonly min?: number;
  readonly max?: number;
}

export interface MapShape {
  readonly kind: 'map';
  /** Constraints of the names, in the order in which the service prints them. */
  readonly key?: StringShape;
  readonly value: Shape;
  readonly min?: number;
  readonly max?: number;
}

export interface Member {
  readonly name: string;
  /** In the paths of the service's messages. */
  readonly pathName: string;
  readonly shape: Shape;
  readonly isRequired: boolean;
}

export interface StructureShape {
  readonly kind: 'structure';
  readonly name: string;
  readonly members: readonly Member[];
  readonly byName: ReadonlyMap<string, Member>;
}

export type Shape =
  | StringShape
  | NumberShape
  | BooleanShape
  | AttributeShape
  | OpaqueShape
  | ListShape
  | MapShape
  | StructureShape;

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/** Text; the pattern has to match all of it. */
export function string(constraints: Omit<StringShape, 'kind' | 'matcher'> = {}): StringShape {
  const { pattern } = constraints;
  return {
    kind: 'string',
    ...constraints,
    ...(pattern === undefined ? {} : { matcher: new RegExp(`^(?:${pattern})$`) }),
  };
}

/** One of a few words. */
export const oneOf = (...words: readonly string[]): StringShape => ({ kind: 'string', words });

export const integer = (bounds: Bounds = {}): NumberShape => ({ kind: 'Integer', ...bounds });
export const long = (bounds: Bounds = {}): NumberShape => ({ kind: 'Long', ...bounds });
export const list = (element: Shape, bounds: Bounds = {}): ListShape => ({ kind: 'list', element, ...bounds });
export const map = (value: Shape, constraints: Bounds & { readonly key?: StringShape } = {}): MapShape => ({
  kind: 'map',
  value,
  ...constraints,
});

export const BOOLEAN: BooleanShape = { kind: 'boolean' };
export const ATTRIBUTE: AttributeShape = { kind: 'attribute' };
export const OPAQUE: OpaqueShape = { kind: 'opaque' };

const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);

/** @param members by name; a name that ends in `!` has to be there */
export function structure(name: string, members: Readonly<Record<string, Shape>>): StructureShape {
  const listed = Object.entries(members).map(([written, shape]): Member => {
    const isRequired = written.endsWith('!');
    const memberName = isRequired ? written.slice(0, -1) : written;
    return { name: memberName, pathName: lowerFirst(memberName), shape, isRequired };
  });
  return { kind: 'structure', name, members: listed, byName: new Map(listed.map((member) => [member.name, member])) };
}
