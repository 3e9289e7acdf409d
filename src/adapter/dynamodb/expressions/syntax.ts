/** What expressions look like before names and values are known: the same text has the same syntax in every request. */

export interface NamePart {
  /** With its `#` when it stands for a name that the request gives. */
  readonly name: string;
  readonly isReference: boolean;
}

export interface PathSyntax {
  readonly kind: 'path';
  /** Numbers are indexes of lists. */
  readonly parts: readonly (NamePart | number)[];
}

export interface ValueSyntax {
  readonly kind: 'value';
  /** With its `:`. */
  readonly reference: string;
}

export interface CallSyntax {
  readonly kind: 'call';
  readonly name: string;
  readonly operands: readonly OperandSyntax[];
}

export type OperandSyntax = PathSyntax | ValueSyntax | CallSyntax;

export type Comparator = '=' | '<>' | '<' | '<=' | '>' | '>=';

export type ConditionSyntax =
  | { readonly kind: 'and' | 'or'; readonly left: ConditionSyntax; readonly right: ConditionSyntax }
  | { readonly kind: 'not'; readonly condition: ConditionSyntax }
  | { readonly kind: 'compare'; readonly comparator: Comparator; readonly operands: readonly OperandSyntax[] }
  /** What is looked at, then the bounds. */
  | { readonly kind: 'between'; readonly operands: readonly OperandSyntax[] }
  /** What is looked for, then what it may be. */
  | { readonly kind: 'in'; readonly operands: readonly OperandSyntax[] }
  | CallSyntax;

export interface ParsedCondition {
  readonly condition: ConditionSyntax;
  /** Something is in two pairs of parentheses. */
  readonly isOverwrapped: boolean;
}

export interface ArithmeticSyntax {
  readonly kind: 'arithmetic';
  readonly sign: '+' | '-';
  readonly operands: readonly OperandSyntax[];
}

export type Section = 'SET' | 'REMOVE' | 'ADD' | 'DELETE';

export type ActionSyntax =
  | { readonly section: 'SET'; readonly path: PathSyntax; readonly value: OperandSyntax | ArithmeticSyntax }
  | { readonly section: 'REMOVE'; readonly path: PathSyntax }
  | { readonly section: 'ADD' | 'DELETE'; readonly path: PathSyntax; readonly value: ValueSyntax };

export interface ParsedUpdate {
  readonly actions: readonly ActionSyntax[];
  /** As often as they were written. */
  readonly sections: readonly Section[];
}

export interface ParsedProjection {
  readonly paths: readonly PathSyntax[];
}
