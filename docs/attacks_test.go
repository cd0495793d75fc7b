package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mustHold are the numbers of the cases that no release goes without, by their group.
var mustHold = []string{
	"RU 1 2 3 4 5 6 10", "AC 1 2 3 4 5 7", "PK 1 2 3 4", "CA 1 2 3 5", "PJ 1 2 3 4 5", "RO 1 2 3 6", "PA 1 2 3 4 5 6 7",
	"DP 1 2 3 4 5 6 7 8 9", "MT 1 2 3", "RT 1 2 3 4 5 6", "TM 1 2 3", "TX 1 2", "IR 1 2 3 4",
	"DV 1 2 3 4 5 6", "DR 1 2 3 4 5", "SS 1 2", "AE 1 2 3 4 5 6 7", "LC 1 2 3 4", "CK 1 2 3 4", "LO 1 2 3 4 5",
	"EN 1 2", "BF 1 2 3 4 5", "PW 1 2", "TO 1 2 3 4", "WA 1 2 3 4 5 6", "RC 1 2 3 4 5 6 7 8",
	"AD 1 2 3 4 5 6", "NI 1 2 3 4 5 6", "HH 1 2 3", "CO 1", "CH 1 2 3", "HT 1 2 3 4", "UN 1", "TI 1", "KR 1 2 3 4",
	"LG 1 2", "CF 1",
}

var (
	attackCase = regexp.MustCompile(`(?m)^func (Test\w+)\(|^\t+attack\{"([A-Z]{2}-\d+)", "((?:[^"\\]|\\.)*)",\s`)
	attackRow  = regexp.MustCompile(`(?m)^\| ([A-Z]{2}-\d+) \| (.*) \| (.*) \|$`)
)

// attackCases are the cases that provider/attacks has, as rows of docs/attacks.md. Every case there
// runs on both stores.
func attackCases(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../provider/attacks/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		test := ""
		for _, m := range attackCase.FindAllStringSubmatch(string(text), -1) {
			switch {
			case m[1] != "":
				test = m[1]
			case rows[m[2]] != "":
				t.Errorf("%s has two tests", m[2])
			default:
				rows[m[2]] = fmt.Sprintf("| %s | %s | `%s` |", m[2], m[3], test)
			}
		}
		if n := strings.Count(string(text), "attack{\""); n != strings.Count(string(text), "\tattack{\"") {
			t.Errorf("%s: %d cases are not written one below the other", file, n)
		}
	}
	if len(rows) < 50 {
		t.Fatalf("only %d cases found: provider/attacks is read in another way than it is written", len(rows))
	}
	return rows
}

func TestEveryAttackOfTheCatalogueHasATestOrALineThatSaysWhyNot(t *testing.T) {
	t.Parallel()
	const file = "attacks.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases, listed := attackCases(t), map[string][]string{}
	for _, m := range attackRow.FindAllStringSubmatch(string(text), -1) {
		if listed[m[1]] != nil {
			t.Errorf("%s is listed twice", m[1])
		}
		listed[m[1]] = m
	}
	var order, table []string
	for _, g := range mustHold {
		f := strings.Fields(g)
		for _, n := range f[1:] {
			order = append(order, f[0]+"-"+n)
		}
	}
	for _, id := range order {
		row, has := listed[id]
		want, tested := cases[id]
		switch {
		case tested:
			table = append(table, want)
			if !*update && (!has || row[0] != want) {
				t.Errorf("%s: docs/%s has not the row\n%s\ngo test ./docs -run Attack -update writes it", id, file, want)
			}
		case !has:
			t.Errorf("%s has neither a test in provider/attacks nor a row in docs/%s that says why not", id, file)
		case !namedTest.MatchString(row[3]) && !strings.HasPrefix(row[3], "no: "):
			t.Errorf("%s: %q names no test, and does not say after \"no: \" why there is none", id, row[3])
		case namedTest.MatchString(row[3]) && !strings.Contains(row[3], "; "):
			t.Errorf("%s: %q does not say after \"; \" why provider/attacks does not have it", id, row[3])
		default:
			table = append(table, row[0])
		}
	}
	for id := range listed {
		if !slices.Contains(order, id) && cases[id] == "" {
			t.Errorf("%s is listed, and is no case", id)
		}
	}
	for id := range cases {
		if !slices.Contains(order, id) {
			t.Errorf("%s has a test, and is no case: add its number to the list", id)
		}
	}
	if *update {
		head, _, ok := strings.Cut(string(text), "| case |")
		if !ok {
			t.Fatal("attacks.md has no table")
		}
		out := head + "| case | what holds | proved by |\n| --- | --- | --- |\n" + strings.Join(table, "\n") + "\n"
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
