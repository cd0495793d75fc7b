package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/provider/storage"
)

const oneName = "one name"

func (sh *shell) groupCommand() *cobra.Command {
	return commandGroup("group", "Groups of people: what roles they give, who is in them",
		sh.groupCreate(), sh.groupList(), sh.groupUpdate(), sh.groupAdd(), sh.groupRemove(), sh.groupDelete())
}

func (sh *shell) printGroup(g storage.Group) error {
	if sh.json {
		return sh.printJSON(g)
	}
	return sh.table([][]string{{"name", g.Name}, {"description", g.Description}, {"roles", strings.Join(g.Roles, " ")},
		{"second factor", map[bool]string{true: "required"}[g.RequireSecondFactor]}})
}

const groupFactorHelp = "nobody of the group gets in by password alone"

func (sh *shell) groupCreate() *cobra.Command {
	var g storage.Group
	var missing bool
	return sh.siteCommand(siteCommand{
		use:     "create NAME",
		short:   "Create a group",
		example: `  latchkey group create admins --description "They run things" --role admin`,
		args:    exactArgs(1, oneName), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&g.Description, "description", "", "a `SENTENCE` for administrators")
			cmd.Flags().StringArrayVar(&g.Roles, "role", nil, "a `ROLE` that members have; may be repeated")
			cmd.Flags().BoolVar(&g.RequireSecondFactor, "require-second-factor", false, groupFactorHelp)
			ifMissing(cmd, &missing)
		},
		run: func(ctx context.Context, s *site, args []string) error {
			g.Name = args[0]
			made, err := s.admin.CreateGroup(ctx, s.actor, g)
			if sh.thereAlready(missing, err) {
				made, err = s.admin.Group(ctx, s.actor, g.Name)
			}
			if err != nil {
				return err
			}
			return sh.printGroup(made)
		},
	})
}

func (sh *shell) groupUpdate() *cobra.Command {
	var description string
	var roles, given []string
	var factor bool
	return sh.siteCommand(siteCommand{
		use:   "update NAME",
		short: "Change a group; what is not named stays",
		args:  exactArgs(1, oneName), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&description, "description", "", "a `SENTENCE` for administrators")
			cmd.Flags().StringArrayVar(&roles, "role", nil,
				`a `+"`ROLE`"+` that members have, in place of those before; may be repeated, "" for none`)
			cmd.Flags().BoolVar(&factor, "require-second-factor", false, groupFactorHelp)
		},
		before: func(cmd *cobra.Command, args []string) error {
			given = changedFlags(cmd)
			return needsChange(cmd, args)
		},
		run: func(ctx context.Context, s *site, args []string) error {
			g, err := s.admin.UpdateGroup(ctx, s.actor, args[0], 0, func(g *storage.Group) error {
				if slices.Contains(given, "description") {
					g.Description = description
				}
				if slices.Contains(given, "role") {
					g.Roles = notEmpty(roles)
				}
				if slices.Contains(given, "require-second-factor") {
					g.RequireSecondFactor = factor
				}
				return nil
			})
			if err != nil {
				return err
			}
			return sh.printGroup(g)
		},
	})
}

// listedGroup is a group as it is printed.
type listedGroup struct {
	storage.Group
	Members []string `json:"members"` // usernames
}

func (sh *shell) groupList() *cobra.Command {
	return list(sh, "List all groups and who is in them", []string{"NAME", "ROLES", "MEMBERS", "DESCRIPTION"},
		func(ctx context.Context, s *site) ([]listedGroup, error) {
			groups, err := s.admin.Groups(ctx, s.actor)
			if err != nil {
				return nil, err
			}
			all, err := s.admin.Users(ctx, s.actor)
			if err != nil {
				return nil, err
			}
			members := map[string][]string{}
			for _, u := range all {
				for _, g := range u.Groups {
					members[g] = append(members[g], u.Username)
				}
			}
			var out []listedGroup
			for _, g := range groups {
				out = append(out, listedGroup{g, append([]string{}, members[g.Name]...)})
			}
			return out, nil
		},
		func(g listedGroup) []string {
			return []string{g.Name, strings.Join(g.Roles, " "), strings.Join(g.Members, " "), g.Description}
		})
}

// groupMembers makes a command that does the same to several people and one group.
func (sh *shell) groupMembers(verb, short, done string, do func(ctx context.Context, s *site, group,
	userID string) error) *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:     verb + " GROUP USERNAME...",
		short:   short,
		example: "  latchkey group " + verb + " staff ada bob",
		args:    atLeast(2, "a group and at least one username"),
		run: func(ctx context.Context, s *site, args []string) error {
			g, err := s.admin.Group(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			var users []storage.User
			for _, name := range args[1:] { // all are known, before anything is changed
				u, err := s.admin.User(ctx, s.actor, name)
				if err != nil {
					return err
				}
				users = append(users, u)
			}
			for _, u := range users {
				if err := do(ctx, s, g.Name, u.ID); err != nil {
					return err
				}
			}
			return sh.done(done, g.Name)
		},
	})
}

func (sh *shell) groupAdd() *cobra.Command {
	return sh.groupMembers("add", "Put people into a group", "Done: %s has new members.",
		func(ctx context.Context, s *site, group, userID string) error {
			_, err := s.admin.AddMember(ctx, s.actor, group, userID)
			return err
		})
}

func (sh *shell) groupRemove() *cobra.Command {
	return sh.groupMembers("remove", "Take people out of a group", "Done: %s has lost members.",
		func(ctx context.Context, s *site, group, userID string) error {
			_, err := s.admin.RemoveMember(ctx, s.actor, group, userID)
			return err
		})
}

func (sh *shell) groupDelete() *cobra.Command {
	return destroy(sh, "delete NAME", oneName, "Delete a group; its members lose its roles",
		"Delete the group %s for good? Its members lose its roles.",
		func(ctx context.Context, s *site, name string) (string, error) {
			return "The group " + name + " is deleted.", s.admin.DeleteGroup(ctx, s.actor, name)
		})
}
