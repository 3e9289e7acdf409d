/**
 * The grammars of updates and of projections:
 *
 *   update     := { SET path '=' value, ..  |  REMOVE path, ..  |  ADD path :value, ..  |  DELETE path :value, .. }
 *   value      := operand | operand '+' operand | operand '-' operand, all or parts of it in parentheses
 *   projection := path, ..
 */
import { type ExpressionMember, Parser } from './parser.ts';
import type {
  ActionSyntax,
  ArithmeticSyntax,
  OperandSyntax,
  ParsedProjection,
  ParsedUpdate,
  PathSyntax,
  Section,
  ValueSyntax,
} from './syntax.ts';

const KEYWORDS: ReadonlySet<string> = new Set<Section>(['SET', 'REMOVE', 'ADD', 'DELETE']);
const NO_KEYWORDS: ReadonlySet<string> = new Set();
/** Parentheses round a value; one pair is all that makes sense. */
const MAX_PARENTHESES = 32;

class UpdateParser extends Parser {
  private readonly actions: ActionSyntax[] = [];
  private readonly sections: Section[] = [];

  constructor(member: ExpressionMember, text: string) {
    super(member, text, KEYWORDS);
  }

  parse(): ParsedUpdate {
    do {
      const section = this.keyword as Section | undefined;
      if (section === undefined) throw this.syntaxError();
      this.advance();
      this.sections.push(section);
      do this.actions.push(this.action(section));
      while (this.takeSymbol(','));
    } while (this.token.kind !== 'end');
    this.end();
    return { actions: this.actions, sections: this.sections };
  }

  private action(section: Section): ActionSyntax {
    const path = this.path();
    if (section === 'REMOVE') return { section, path };
    if (section !== 'SET') return { section, path, value: this.valueReference() };
    this.expectSymbol('=');
    return { section, path, value: this.value(0) };
  }

  private valueReference(): ValueSyntax {
    if (this.token.kind !== 'valueReference') throw this.syntaxError();
    return { kind: 'value', reference: this.advance().text };
  }

  private value(depth: number): OperandSyntax | ArithmeticSyntax {
    const left = this.valuePart(depth);
    // A sum is no operand: chains of three end here.
    if (left.kind === 'arithmetic' || !(this.isSymbol('+') || this.isSymbol('-'))) return left;
    const sign = this.advance().text as '+' | '-';
    this.countOperator();
    const right = this.wrappedOperand(depth);
    return { kind: 'arithmetic', sign, operands: [left, right.operand] };
  }

  private valuePart(depth: number): OperandSyntax | ArithmeticSyntax {
    if (depth > MAX_PARENTHESES) throw this.syntaxError();
    if (!this.takeSymbol('(')) return this.operand(depth);
    const inner = this.value(depth + 1);
    this.expectSymbol(')');
    return inner.kind === 'arithmetic' ? inner : this.operandBehind(inner);
  }
}

class ProjectionParser extends Parser {
  constructor(member: ExpressionMember, text: string) {
    super(member, text, NO_KEYWORDS);
  }

  parse(): ParsedProjection {
    const paths: PathSyntax[] = [];
    do paths.push(this.path());
    while (this.takeSymbol(','));
    this.end();
    return { paths };
  }
}

/** @throws DynamoError ValidationException */
export const parseUpdate = (text: string): ParsedUpdate => new UpdateParser('UpdateExpression', text).parse();

/** @throws DynamoError ValidationException */
export const parseProjection = (text: string): ParsedProjection =>
  new ProjectionParser('ProjectionExpression', text).parse();
