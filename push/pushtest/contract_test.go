package pushtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// proseOnly are the sentences that no check can prove, with the reason.
var proseOnly = map[string]string{
	"Package pushtest checks every sentence of this contract.":                                                                     "this test",
	"So a log that several processes can reach needs a store that they can reach: there is no other way to implement this method.": "what follows",
}

// The contract and the suite must not drift apart: every sentence of the
// documentation is claimed by a check, and every claim is a sentence of it.
func TestEverySentenceOfTheContractHasACheck(t *testing.T) {
	claimed := map[string]bool{}
	for _, c := range slices.Concat(checks(), subscriptionChecks) {
		for s := range strings.Lines(c.says) {
			claimed[strings.TrimSpace(s)] = true
		}
	}
	said := contract(t)
	if len(said) < 40 {
		t.Fatalf("the contract has only %d sentences: %q", len(said), said)
	}
	for _, s := range said {
		if !claimed[s] && proseOnly[s] == "" {
			t.Errorf("no check claims the sentence: %s", s)
		}
		delete(claimed, s)
	}
	for s := range claimed {
		t.Errorf("a check claims what the contract does not say: %s", s)
	}
}

func TestChecksHaveDifferentNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range slices.Concat(checks(), subscriptionChecks) {
		if seen[c.name] {
			t.Errorf("two checks are called %s", c.name)
		}
		seen[c.name] = true
	}
}

// contract returns the sentences of the documentation of push.Broker, of its
// methods, of what History and Tail answer with, and of Retention.
func contract(t *testing.T) (sentences []string) {
	t.Helper()
	whole := map[string]bool{"Broker": true, "Query": true, "Page": true, "Gap": true, "TailGap": true,
		"Retention": true, "Rule": true}
	for _, file := range []string{"../broker.go", "../errors.go", "../retain.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if whole[spec.Name.Name] {
						delete(whole, spec.Name.Name)
						sentences = append(sentences, prose(gen.Doc)...)
						sentences = append(sentences, members(spec.Type)...)
					}
				case *ast.ValueSpec:
					if name := spec.Names[0].Name; strings.HasPrefix(name, "Reason") {
						sentences = append(sentences, prose(spec.Comment)...)
					}
				}
			}
		}
	}
	if len(whole) > 0 {
		t.Fatalf("not found: %v", slices.Collect(maps.Keys(whole)))
	}
	return sentences
}

// members returns the sentences about methods and fields.
func members(e ast.Expr) (sentences []string) {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.InterfaceType:
		list = e.Methods
	case *ast.StructType:
		list = e.Fields
	default:
		return nil
	}
	for _, f := range list.List {
		sentences = append(sentences, prose(f.Doc)...)
		sentences = append(sentences, prose(f.Comment)...)
	}
	return sentences
}

// prose returns the sentences of a comment, without headings of one word.
func prose(c *ast.CommentGroup) (sentences []string) {
	if c == nil {
		return nil
	}
	text := strings.Join(strings.Fields(c.Text()), " ")
	for s := range strings.SplitSeq(text, ". ") {
		if s = strings.TrimSuffix(s, "."); !strings.Contains(s, " ") {
			continue
		}
		if strings.HasSuffix(text, ".") {
			s += "."
		}
		sentences = append(sentences, s)
	}
	return sentences
}
