package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

func (sh *shell) groupCommand() *cobra.Command {
	return family("group", "Groups of people: what roles they give, who is in them",
		sh.groupCreate(), sh.groupList(), sh.groupUpdate(), sh.groupMembers("add"), sh.groupMembers("remove"), sh.groupDelete())
}

// checkGroup says what is wrong with a group. Names travel in the groups claim and are typed on command lines.
func checkGroup(g storage.Group) error {
	if g.Name == "" || strings.TrimSpace(g.Name) != g.Name || strings.Contains(g.Name, ",") {
		return fmt.Errorf("group %q: a name has no comma, and no blanks around it, such as staff", g.Name)
	}
	if err := clients.CheckText(g.Name); err != nil {
		return fmt.Errorf("group name %w", err)
	}
	if err := clients.CheckText(g.Description); err != nil {
		return fmt.Errorf("group %s: description %w", g.Name, err)
	}
	for _, r := range g.Roles {
		if r == "" || strings.TrimSpace(r) != r || clients.CheckText(r) != nil {
			return fmt.Errorf("group %s: %q is no name of a role, such as admin", g.Name, r)
		}
	}
	return nil
}

func (sh *shell) printGroup(g storage.Group) error {
	if sh.json {
		return sh.printJSON(g)
	}
	return sh.table([][]string{{"name", g.Name}, {"description", g.Description}, {"roles", strings.Join(g.Roles, " ")}})
}

func (sh *shell) groupCreate() *cobra.Command {
	var g storage.Group
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a group",
		Example: `  latchkey group create admins --description "Who runs things" --role admin`,
		Args:    exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, true, func(ctx context.Context, s *site) error {
				g.Name, g.CreatedAt, g.Roles = args[0], s.timestamp(), sortedSet(g.Roles)
				if err := checkGroup(g); err != nil {
					return err
				}
				if _, err := s.store.Group(ctx, g.Name); err == nil {
					return fmt.Errorf("there is a group %q already", g.Name)
				} else if !errors.Is(err, storage.ErrNotFound) {
					return err
				}
				if err := s.store.PutGroup(ctx, g); err != nil {
					return err
				}
				return sh.printGroup(g)
			})
		},
	}
	cmd.Flags().StringVar(&g.Description, "description", "", "a `SENTENCE` for administrators")
	cmd.Flags().StringArrayVar(&g.Roles, "role", nil, "a `ROLE` that members have; may be repeated")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) groupUpdate() *cobra.Command {
	var description string
	var roles []string
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a group; what is not named stays",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				g, err := s.group(ctx, args[0])
				if err != nil {
					return err
				}
				if cmd.Flags().Changed("description") {
					g.Description = description
				}
				if cmd.Flags().Changed("role") {
					g.Roles = sortedSet(slices.DeleteFunc(roles, func(r string) bool { return r == "" }))
				}
				if err := checkGroup(g); err != nil {
					return err
				}
				if err := s.store.PutGroup(ctx, g); err != nil {
					return err
				}
				return sh.printGroup(g)
			})
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "a `SENTENCE` for administrators")
	cmd.Flags().StringArrayVar(&roles, "role", nil, `a `+"`ROLE`"+` that members have, in place of those before; may be repeated, "" for none`)
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (s *site) group(ctx context.Context, name string) (storage.Group, error) {
	g, err := s.store.Group(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return g, fmt.Errorf("there is no group %q", name)
	}
	return g, err
}

func (sh *shell) groupList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all groups and who is in them",
		Args:  exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				groups, err := s.store.Groups(ctx)
				if err != nil {
					return err
				}
				all, err := s.users(ctx)
				if err != nil {
					return err
				}
				type listed struct {
					storage.Group
					Members []string `json:"members"` // usernames
				}
				out := []listed{}
				rows := [][]string{{"NAME", "ROLES", "MEMBERS", "DESCRIPTION"}}
				for _, g := range groups {
					l := listed{Group: g, Members: []string{}}
					for _, u := range all {
						if slices.Contains(u.Groups, g.Name) {
							l.Members = append(l.Members, u.Username)
						}
					}
					out = append(out, l)
					rows = append(rows, []string{g.Name, strings.Join(g.Roles, " "), strings.Join(l.Members, " "), g.Description})
				}
				if sh.json {
					return sh.printJSON(out)
				}
				return sh.table(rows)
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) groupMembers(verb string) *cobra.Command {
	short := "Put people into a group"
	if verb == "remove" {
		short = "Take people out of a group"
	}
	cmd := &cobra.Command{
		Use:     verb + " GROUP USERNAME...",
		Short:   short,
		Example: "  latchkey group " + verb + " staff ada bob",
		Args:    atLeast(2, "a group and at least one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				g, err := s.group(ctx, args[0])
				if err != nil {
					return err
				}
				for _, name := range args[1:] { // all are known, before anything is changed
					if _, err := s.user(ctx, name); err != nil {
						return err
					}
				}
				for _, name := range args[1:] {
					if _, err := s.changeUser(ctx, name, func(u *storage.User) error {
						u.Groups = slices.DeleteFunc(u.Groups, func(n string) bool { return n == g.Name })
						if verb == "add" {
							u.Groups = sortedSet(append(u.Groups, g.Name))
						}
						return nil
					}); err != nil {
						return err
					}
				}
				return sh.done("Done: %s %s.", g.Name, map[string]string{"add": "has new members", "remove": "has lost members"}[verb])
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}

func (sh *shell) groupDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a group; its members lose its roles",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				g, err := s.group(ctx, args[0])
				if err != nil {
					return err
				}
				apps, err := s.clients(ctx)
				if err != nil {
					return err
				}
				for _, c := range apps {
					if slices.Contains(c.AllowedGroups, g.Name) {
						return fmt.Errorf("the application %s is for the group %s; change that first: latchkey client update %s --group …", c.ID, g.Name, c.ID)
					}
				}
				all, err := s.users(ctx)
				if err != nil {
					return err
				}
				for _, u := range all {
					if !slices.Contains(u.Groups, g.Name) {
						continue
					}
					if _, err := s.changeUser(ctx, u.Username, func(u *storage.User) error {
						u.Groups = slices.DeleteFunc(u.Groups, func(n string) bool { return n == g.Name })
						return nil
					}); err != nil {
						return err
					}
				}
				if err := s.store.DeleteGroup(ctx, g.Name); err != nil && !errors.Is(err, storage.ErrNotFound) {
					return err
				}
				return sh.done("The group %s is deleted.", g.Name)
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}
